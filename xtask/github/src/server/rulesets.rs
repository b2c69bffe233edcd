//! Rulesets as whoever may push sees them. <https://docs.github.com/rest/repos/rules#get-all-repository-rulesets>

use serde_json::{Value, json};

use crate::model::{Access, Ruleset};
use crate::rules::Refusal;
use crate::server::answer::{Answer, Outcome};
use crate::server::call::Call;
use crate::server::store::Repo;
use crate::server::{hooks, pages};

/// In short: neither rules nor conditions are told here.
pub(crate) fn list(repo: &Repo, call: &Call) -> Outcome {
    let targets = call.parameter("targets");
    let asked = |ruleset: &&Ruleset| targets.is_none_or(|targets| targets.split(',').any(|it| it == ruleset.target));
    let each = repo.config.rulesets.iter().filter(asked).map(|ruleset| brief(repo, ruleset));
    Ok(pages::page(call, repo, each.collect()))
}

pub(crate) fn one(repo: &Repo, id: u64) -> Outcome {
    let found = repo.config.rulesets.iter().find(|ruleset| ruleset.id == id).ok_or_else(Refusal::not_found)?;
    Ok(Answer::json(200, &whole(repo, found)))
}

/// A ruleset that nobody passes.
pub(crate) fn create(repo: &mut Repo, call: &Call) -> Outcome {
    require_admin(repo, call)?;
    let body = call.object()?;
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    let texts = |list: &Value, key: Option<&str>| -> Vec<String> {
        let each = list.as_array().into_iter().flatten();
        each.filter_map(|it| key.map_or(it, |key| &it[key]).as_str().map(str::to_owned)).collect()
    };
    let supplied = |key: &str| text(key).ok_or_else(|| Refusal::schema(&format!("\"{key}\" wasn't supplied.")));
    let names = &body["conditions"]["ref_name"];
    let all = &mut repo.config.rulesets;
    let ruleset = Ruleset {
        id: all.iter().map(|it| it.id + 1).max().unwrap_or(7000),
        name: supplied("name")?,
        target: text("target").unwrap_or_else(|| "branch".to_owned()),
        enforcement: supplied("enforcement")?,
        include: texts(&names["include"], None),
        exclude: texts(&names["exclude"], None),
        rules: texts(&body["rules"], Some("type")),
        bypass: false,
    };
    all.push(ruleset.clone());
    hooks::install(repo)?;
    Ok(Answer::created(&whole(repo, &ruleset)))
}

pub(crate) fn delete(repo: &mut Repo, call: &Call, id: u64) -> Outcome {
    require_admin(repo, call)?;
    let place = repo.config.rulesets.iter().position(|it| it.id == id).ok_or_else(Refusal::not_found)?;
    repo.config.rulesets.remove(place);
    hooks::install(repo)?;
    Ok(Answer::empty(204))
}

fn require_admin(repo: &Repo, call: &Call) -> Result<(), Refusal> {
    call.require_token()?;
    if call.access(repo) < Some(Access::Admin) {
        return Err(Refusal::not_found());
    }
    call.require_unarchived(repo)
}

fn whole(repo: &Repo, found: &Ruleset) -> Value {
    let mut value = brief(repo, found);
    let rules: Vec<Value> = found.rules.iter().map(|rule| json!({ "type": rule })).collect();
    value["conditions"] = json!({ "ref_name": { "include": found.include, "exclude": found.exclude } });
    value["rules"] = rules.into();
    value["current_user_can_bypass"] = json!(if found.bypass { "always" } else { "never" });
    value
}

fn brief(repo: &Repo, ruleset: &Ruleset) -> Value {
    json!({
        "id": ruleset.id,
        "name": ruleset.name,
        "target": ruleset.target,
        "source_type": "Repository",
        "source": repo.rules.name,
        "enforcement": ruleset.enforcement,
    })
}
