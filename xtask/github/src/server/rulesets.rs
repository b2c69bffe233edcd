//! Rulesets as whoever may push sees them. <https://docs.github.com/rest/repos/rules#get-all-repository-rulesets>

use serde_json::{Value, json};

use crate::model::Ruleset;
use crate::rules::Refusal;
use crate::server::answer::{Answer, Outcome};
use crate::server::call::Call;
use crate::server::pages;
use crate::server::store::Repo;

/// In short: neither rules nor conditions are told here.
pub(crate) fn list(repo: &Repo, call: &Call) -> Outcome {
    let targets = call.parameter("targets");
    let asked = |ruleset: &&Ruleset| targets.is_none_or(|targets| targets.split(',').any(|it| it == ruleset.target));
    let each = repo.config.rulesets.iter().filter(asked).map(|ruleset| brief(repo, ruleset));
    Ok(pages::page(call, repo, each.collect()))
}

pub(crate) fn one(repo: &Repo, id: u64) -> Outcome {
    let found = repo.config.rulesets.iter().find(|ruleset| ruleset.id == id).ok_or_else(Refusal::not_found)?;
    let mut value = brief(repo, found);
    let rules: Vec<Value> = found.rules.iter().map(|rule| json!({ "type": rule })).collect();
    value["conditions"] = json!({ "ref_name": { "include": found.include, "exclude": found.exclude } });
    value["rules"] = rules.into();
    value["current_user_can_bypass"] = json!(if found.bypass { "always" } else { "never" });
    Ok(Answer::json(200, &value))
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
