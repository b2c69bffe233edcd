//! The banned words, each with the reason, and where a text has one.

/// Words and phrases, separated by commas; `…` stands for up to five words. Then why a reader stumbles, and what to write instead.
const BANNED: [(&str, &str); 41] = [
    ("vouch, vouches, vouched, vouching", "archaic: name the manifest, the checksum file or the signature"),
    ("mend, mends, mended, mending", "archaic: fix"),
    ("cure, cures, cured", "medical: fix"),
    ("heal, heals, healed, healing", "medical: recover"),
    ("bless, blesses, blessed", "religious: accept, verify"),
    (
        "is in order, are in order, be in order, not in order, all in order",
        "vague: all checks passed, or name the problem",
    ),
    ("way back", "vague: kept for rollback, the previous set"),
    ("go on with, goes on with, gone on with, goes on where, go on where, go on from", "roundabout: continue, resume"),
    ("hold … against, holds … against, held … against", "a riddle: compare … with"),
    ("for want of", "archaic: because … is missing"),
    ("ill", "archaic: badly, wrong"),
    ("deaf", "a riddle: does not answer"),
    ("told", "a riddle: is named, is reported, is distinguished"),
    ("whatever", "vague: any, every, or name it"),
    ("so many, so often, for so long", "a puzzle: maximum number of …, for this many seconds"),
    ("nobody", "hides the subject: no publish is running, no signer is named, …"),
    ("bear, bears, borne", "archaic: accept, support"),
    ("in their fingers, have in the fingers", "a joke: familiar"),
    ("is no", "a riddle: is not a …"),
    ("anew", "archaic: again, new"),
    ("headway", "dated: progress"),
    ("for ever", "dated: forever, never ends"),
    ("stand still, stands still, stood still", "vague: stalls, does not move"),
    ("lest", "archaic: so that … not"),
    ("ought", "dated: should"),
    ("shall", "legal: will, must"),
    ("whence, thereof, wherein, hence, thus, amiss, nought, naught", "archaic: use an everyday word"),
    ("tells all, tells the rest", "a riddle: shows all options"),
    ("give way, gives way", "vague: is replaced by"),
    ("cut into, cuts into", "the term is split into"),
    ("put right, puts right, put … right, puts … right, putting right", "vague: fix, recover, restore"),
    ("taken for", "dated: mistaken for, counted as"),
    ("afresh, astray, besides", "dated: again, wrong, also"),
    ("are the most, is the most", "roundabout: more than the limit of …"),
    ("broke off, breaks off, broken off", "dated: was interrupted, is incomplete"),
    ("asked for was", "roundabout: expected …"),
    ("or its like, and its kin, and their kin", "dated: or similar"),
    ("gives it more", "a riddle: raise the limit with …"),
    ("flip, flips", "the term is switch"),
    ("door, doors", "a riddle: client, or how … reaches …"),
    ("that is there was, that is there is", "clumsy: the existing …"),
];

/// Where such words are right.
const ALLOWED: [&str; 7] =
    ["flip svg", "told to", "there is no", "is no longer", "is no more", "is no need", "is in order of"];

/// A text that a person may read, and where it is.
pub struct Text {
    pub place: String,
    pub words: String,
}

/// What is banned in the text.
pub fn faults(text: &Text) -> Vec<String> {
    let words: Vec<String> =
        text.words.split(|c: char| !c.is_alphanumeric() && !"_'…".contains(c)).map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    let phrase = |phrase: &'static str| phrase.split_whitespace().collect::<Vec<_>>();
    let allowed: Vec<_> = ALLOWED.into_iter().map(phrase).collect();
    // Two words before a banned one may belong to what is allowed.
    let is_allowed = |at: usize| {
        let from = at.saturating_sub(2);
        allowed.iter().any(|allowed| (from..=at).any(|from| from + length(&words[from..], allowed) > at))
    };
    let mut faults = Vec::new();
    for (phrases, why) in BANNED {
        for banned in phrases.split(',').map(phrase) {
            for at in (0..words.len()).filter(|at| length(&words[*at..], &banned) > 0 && !is_allowed(*at)) {
                let near = words[at.saturating_sub(6)..(at + 10).min(words.len())].join(" ");
                faults.push(format!("{}: \"{}\" ({why}) in: {near}", text.place, banned.join(" ")));
            }
        }
    }
    faults
}

/// How many words the phrase has at the beginning of these; 0 where they begin otherwise.
fn length(words: &[&str], phrase: &[&str]) -> usize {
    match phrase {
        [] => 0,
        [first, "…", last] => {
            let begins = words.first() == Some(first);
            let rest = words.iter().skip(2).take(5);
            let end = if begins { rest.take_while(|word| *word != last).count() } else { 0 };
            if begins && words.get(end + 2) == Some(last) { end + 3 } else { 0 }
        }
        _ if words.starts_with(phrase) => phrase.len(),
        _ => 0,
    }
}

#[test]
fn a_banned_word_is_seen() {
    for (words, count) in [
        ("nothing\n   vouches for it", 1),
        ("Nobody mends it.", 2),
        ("`{}` is no release", 1),
        ("it is no longer there", 0),
        ("there is no release", 0),
        ("hold `latest` against its manifest", 1),
        ("hold against", 0),
        ("in order to, still, until, secure, is_told_so, a_nobody", 0),
        ("all is in order", 1),
    ] {
        let text = Text { place: "a:3".to_owned(), words: words.to_owned() };
        assert_eq!(faults(&text).len(), count, "{words}: {:?}", faults(&text));
    }
}
