//! What each role is held against: what it did, as MONITOR saw it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{Stream, StreamExt};
use taskferry_contract::{KeyAccess, Rights, Role, Verdict};

use crate::cluster::{LAST, parse, record};
use crate::rig::Rig;
use crate::roles::done::{Users, a_read_is_ended, all_is_done};
use crate::roles::{queues, rig, rights, set_user, store_of};

/// What MONITOR does not show, being for administrators.
const UNSEEN: [&str; 1] = ["CLIENT UNBLOCK"];

/// Each command that was sent, with its words, by the role of its user; commands of scripts count as their caller's.
async fn sent(
    seen: impl Stream<Item = String>,
    users: &Users,
) -> BTreeMap<String, BTreeSet<Vec<String>>> {
    let mut sent: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
    let mut caller = String::new();
    tokio::pin!(seen);
    while let Some(line) = seen.next().await.filter(|line| !line.contains(LAST)) {
        let (by_script, words) = parse(&line);
        // Scripts and results are long, and no key is.
        let short = |word: &String| word.chars().take(200).collect();
        let words: Vec<String> = words.iter().map(short).collect();
        let from = line.split_once("] ").unwrap().0.rsplit(' ').next().unwrap();
        if !by_script {
            caller = users.get(from).cloned().unwrap_or_default();
        }
        sent.entry(caller.clone()).or_default().insert(words);
    }
    sent
}

/// A command's name as the table has it.
fn name(words: &[String], known: &[&'static str]) -> String {
    let upper = |word: Option<&String>| word.map(|word| word.to_uppercase()).unwrap_or_default();
    let (first, second) = (upper(words.first()), upper(words.get(1)));
    let both = format!("{first} {second}");
    if known.contains(&both.as_str()) {
        both
    } else {
        first
    }
}

/// Whether a user with these rights may send each of these.
async fn all_permitted(rig: &mut Rig, rights: &Rights, sent: &BTreeSet<Vec<String>>) -> bool {
    set_user(rig, "less", rights).await;
    let mut tried = redis::pipe();
    for words in sent {
        tried.cmd("ACL").arg("DRYRUN").arg("less").arg(words);
    }
    let said: Vec<String> = tried.query_async(&mut rig.redis).await.unwrap();
    said.iter().all(|said| said == "OK")
}

/// The rights with one pattern of keys less, or with less access to one: what differs, and the rest.
fn with_less(rights: &Rights) -> Vec<(String, Rights)> {
    let mut all = Vec::new();
    for (place, (access, pattern)) in rights.keys.iter().enumerate() {
        let mut less = rights.clone();
        less.keys.remove(place);
        all.push((format!("without {pattern}"), less));
        if *access == KeyAccess::ReadWrite {
            for part in [KeyAccess::Read, KeyAccess::Write] {
                let mut less = rights.clone();
                less.keys[place].0 = part;
                all.push((format!("{pattern} for {part:?} alone"), less));
            }
        }
    }
    for (place, pattern) in rights.channels.iter().enumerate() {
        let mut less = rights.clone();
        less.channels.remove(place);
        all.push((format!("without the channel {pattern}"), less));
    }
    all
}

/// What is granted and was of no use.
async fn useless(rig: &mut Rig, rights: &Rights, sent: &BTreeSet<Vec<String>>) -> Vec<String> {
    let used: BTreeSet<String> = sent
        .iter()
        .map(|words| name(words, &rights.commands))
        .collect();
    let commands = rights.commands.iter();
    let commands =
        commands.filter(|command| !used.contains(**command) && !UNSEEN.contains(command));
    let mut useless: Vec<String> = commands.map(|command| (*command).to_owned()).collect();
    // Those that Redis lets everyone run without asking.
    let sent: BTreeSet<Vec<String>> = sent
        .iter()
        .filter(|words| !["AUTH", "HELLO"].contains(&words[0].to_uppercase().as_str()))
        .cloned()
        .collect();
    assert!(all_permitted(rig, rights, &sent).await);
    for (what, less) in with_less(rights) {
        if all_permitted(rig, &less, &sent).await {
            useless.push(what);
        }
    }
    useless
}

/// A user of each role finds that it is enough.
async fn each_is_enough(rig: &mut Rig) {
    let queues = queues();
    for role in Role::ALL {
        let store = store_of(rig, role).await;
        let own = if role.has_queues() { &queues[..] } else { &[] };
        let findings = store.examine(None, Some((role, own))).await.unwrap();
        let fails = findings.iter().filter(|one| one.verdict == Verdict::Fail);
        let fails: Vec<_> = fails.collect();
        assert!(fails.is_empty(), "{role}: {fails:#?}");
    }
}

#[tokio::test]
async fn what_a_role_may_is_what_it_does() {
    let mut rig = rig().await;
    each_is_enough(&mut rig).await;
    let seen = record(&rig.server).await;
    let users = all_is_done(&mut rig).await;
    rig.raw::<String>("ECHO", LAST).await;
    let sent = sent(seen, &users).await;
    let looks = rights(Role::Viewer);
    let documented = include_str!("../../../../docs/REDIS.md");
    let mut all = Vec::new();
    for role in Role::ALL {
        let mut found = useless(&mut rig, &rights(role), &sent[role.as_str()]).await;
        // An operator looks as a viewer does; and a viewer with redis-cli, as the document shows.
        if role == Role::Operator {
            found.retain(|what| {
                let key = looks.keys.iter().any(|(_, pattern)| what.contains(pattern));
                !key && !looks.commands.contains(&what.as_str())
            });
        }
        if role == Role::Viewer {
            found.retain(|what| !documented.contains(what));
        }
        all.extend(found.into_iter().map(|what| format!("{role}: {what}")));
    }
    assert!(all.is_empty(), "granted, and of no use: {all:#?}");
    rig.leaves_anything();
}

#[tokio::test]
async fn only_with_the_right_to_is_a_read_ended() {
    let mut rig = rig().await;
    for role in [Role::Worker, Role::ForeignWorker] {
        rig.at_work = store_of(&mut rig, role).await;
        a_read_is_ended(&rig).await;
        let mut less = rights(role);
        less.commands.retain(|command| !UNSEEN.contains(command));
        set_user(&mut rig, role.as_str(), &less).await;
        let unblocked = rig.at_work.connections().unblock(1).await;
        let told = unblocked.unwrap_err().to_string();
        assert!(told.contains("NOPERM"), "{told}");
    }
}
