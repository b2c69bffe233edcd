//! Refs that are pushed: the lock, its leases, and what a push can say beforehand.

use serde_json::json;

use super::super::push::{Pushed, Pusher};
use super::super::scratch::Scratch;
use super::super::{Check, Ending, Seen, Told};
use super::{ensure, holds, holds_with};

pub(super) const CHECKS: &[Check] = &[
    Check {
        assumption: "a ref under refs/packer is pushed, moved and deleted with a lease, to a commit without parents",
        run: lock,
    },
    Check {
        assumption: "of an atomic push with one stale lease nothing comes to be, and a tag that is pushed shows in the API",
        run: atomic,
    },
    Check {
        assumption: "of an atomic push with a tag that a rule forbids nothing comes to be, and its line names the rule",
        run: forbidden_tag,
    },
    Check { assumption: "a push that is a dry run is answered like a real one, and changes nothing", run: dry_run },
    Check {
        assumption: "GraphQL's updateRefs, on a ref under refs/packer and with an old id that is stale,",
        run: update_refs,
    },
];

/// The whole life of the lock: whoever has it may publish. git-bug and notes keep refs of their own on GitHub as well.
fn lock(scratch: &Scratch<'_>) -> Told {
    let pusher = Pusher::new(scratch.client, scratch.count())?;
    let name = scratch.packer_ref();
    let (first, second, other) = (pusher.commit("first")?, pusher.commit("second")?, pusher.commit("other")?);
    let lease =
        |old: &str, new: &str| pusher.push(&[&format!("--force-with-lease={name}:{old}"), &format!("{new}:{name}")]);
    let is = |wanted: Option<&String>| -> Result<(), Ending> {
        let now = pusher.remote(&name)?;
        ensure(now.as_ref() == wanted, || format!("{name} is {now:?} now, expected {wanted:?}"))
    };
    lease("", &first)?.done()?;
    is(Some(&first))?;
    lease("", &other)?.refused()?;
    lease(&first, &second)?.done()?;
    is(Some(&second))?;
    lease(&first, &other)?.refused()?;
    lease(&first, "")?.refused()?;
    is(Some(&second))?;
    lease(&second, "")?.done()?;
    is(None)?;
    // Another's ref that is gone is no empty lease.
    lease(&second, &other)?.refused()?;
    holds()
}

/// How a tag is moved: not at all where the lock is another's by then.
fn atomic(scratch: &Scratch<'_>) -> Told {
    let pusher = Pusher::new(scratch.client, scratch.count())?;
    let (name, tag) = (scratch.packer_ref(), format!("refs/tags/{}", scratch.pushed_tag()));
    let (first, second) = (pusher.commit("first")?, pusher.commit("second")?);
    let both = |lock: &str, old_tag: &str| {
        let leases = [format!("--force-with-lease={name}:{lock}"), format!("--force-with-lease={tag}:{old_tag}")];
        let refs = [format!("{second}:{name}"), format!("{second}:{tag}")];
        let arguments: Vec<&str> = leases.iter().chain(&refs).map(String::as_str).collect();
        pusher.push(&[&["--atomic"], arguments.as_slice()].concat())
    };
    pusher.push(&[&format!("{first}:{name}")])?.done()?;
    both(&second, "")?.refused()?;
    both(&first, &second)?.refused()?;
    let (lock, moved) = (pusher.remote(&name)?, pusher.remote(&tag)?);
    ensure((lock.as_ref(), moved.as_ref()) == (Some(&first), None), || format!("they are {lock:?} and {moved:?} now"))?;
    both(&first, "")?.done()?;
    let (lock, moved) = (pusher.remote(&name)?, pusher.remote(&tag)?);
    ensure(lock.as_ref() == Some(&second) && moved == lock, || format!("they are {lock:?} and {moved:?} now"))?;
    // Before it changes a release the tool waits for this.
    scratch.points(&tag["refs/tags/".len()..], &second)?;
    holds()
}

/// The tag of a pinned set is pushed with a renewal of the lock. Where the tag is refused the lock is still the run's own.
fn forbidden_tag(scratch: &Scratch<'_>) -> Told {
    let pusher = Pusher::new(scratch.client, scratch.count())?;
    let (name, tag) = (scratch.packer_ref(), scratch.pushed_tag());
    let full = format!("refs/tags/{tag}");
    let (first, second) = (pusher.commit("first")?, pusher.commit("second")?);
    pusher.push(&[&format!("{first}:{name}")])?.done()?;
    let ruleset = scratch.ruleset(&[&tag], "creation")?;
    let leases = [format!("--force-with-lease={name}:{first}"), format!("--force-with-lease={full}:")];
    let refs = [format!("{second}:{name}"), format!("{second}:{full}")];
    let pushed = pusher.push(&["--atomic", &leases[0], &leases[1], &refs[0], &refs[1]])?;
    let said = pushed.said.clone();
    pushed.refused()?;
    let told = said.split("; ").any(|line| line.contains(&full) && line.contains("rule"));
    ensure(told, || format!("it says {said}"))?;
    let (lock, made) = (pusher.remote(&name)?, pusher.remote(&full)?);
    ensure((lock.as_ref(), made.as_ref()) == (Some(&first), None), || format!("they are {lock:?} and {made:?} now"))?;
    pusher.push(&[&leases[0], &refs[0]])?.done()?;
    scratch.client.delete(&ruleset)?.expect(204)?;
    holds_with(said.replace('\t', " "))
}

/// How it is found out before anything is sent that a login may write.
fn dry_run(scratch: &Scratch<'_>) -> Told {
    let pusher = Pusher::new(scratch.client, scratch.count())?;
    let name = scratch.packer_ref();
    let commit = pusher.commit("first")?;
    pusher.push(&["--dry-run", &format!("{commit}:{name}")])?.done()?;
    let now = pusher.remote(&name)?;
    ensure(now.is_none(), || format!("{name} came to be"))?;
    holds()
}

/// Whether a lock could do without git. <https://docs.github.com/graphql/reference/mutations#updaterefs>
fn update_refs(scratch: &Scratch<'_>) -> Told {
    let pusher = Pusher::new(scratch.client, scratch.count())?;
    let (anchor, name) = (scratch.packer_ref(), scratch.packer_ref());
    let (first, second) = (pusher.commit("first")?, pusher.commit("second")?);
    // The commits have to be there before a ref can lead to them.
    for commit in [&first, &second] {
        pusher.push(&["--force", &format!("{commit}:{anchor}")])?.done()?;
    }
    let repository = scratch.client.get("")?.expect(200)?.json()["node_id"].clone();
    let update = |old: &str, new: &str| {
        let change = json!({ "name": name, "beforeOid": old, "afterOid": new, "force": true });
        let query = "mutation UpdateRefs($input: UpdateRefsInput!) { updateRefs(input: $input) { clientMutationId } }";
        let input = json!({ "repositoryId": repository, "refUpdates": [change] });
        let answer = scratch.client.post("graphql", &json!({ "query": query, "variables": { "input": input } }))?;
        let said = answer.json()["errors"][0]["message"].as_str().map(str::to_owned);
        Ok(said.or_else(|| (answer.status != 200).then(|| answer.says())))
    };
    let none = "0".repeat(40);
    if let Some(said) = update(&none, &first)? {
        return Ok(Seen::Information(format!("makes no such ref: {said}")));
    }
    let stale = update(&second, &second)?;
    let now = pusher.remote(&name)?;
    let what = match (stale, now) {
        (Some(said), Some(now)) if now == first => format!("makes it, and refuses: {said}"),
        (said, now) => format!("makes it, and then it is {now:?}: {said:?}"),
    };
    Ok(Seen::Information(what))
}

impl Pushed {
    fn done(self) -> Result<(), Ending> {
        ensure(self.done, || format!("the push {} was refused: {}", self.asked, self.said))
    }

    fn refused(self) -> Result<(), Ending> {
        ensure(!self.done, || format!("the push {} was taken", self.asked))
    }
}
