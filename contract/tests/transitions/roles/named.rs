//! What is said to a user that lacks rights of its role.

use std::collections::BTreeSet;

use taskferry_contract::{KeyAccess, Rights, Role};
use taskferry_testing::eventually;

use crate::rig::SOON;
use crate::roles::{queues, rig, rights, set_user, store_of};

/// What nobody is asked for at the start: only who waits for Redis replicas sends the first, and the others are for workers in
/// other languages, who have scripts without them.
const UNASKED: [&str; 4] = ["WAIT", "FCALL", "FUNCTION LIST", "FUNCTION LOAD"];

const NONE: Rights = Rights {
    commands: Vec::new(),
    keys: Vec::new(),
    channels: Vec::new(),
};

/// The rights one by one.
fn one_by_one(rights: &Rights) -> Vec<Rights> {
    let commands = rights.commands.iter().map(|command| Rights {
        commands: vec![command],
        ..NONE
    });
    let keys = rights.keys.iter().map(|key| Rights {
        keys: vec![key.clone()],
        ..NONE
    });
    let channels = rights.channels.iter().map(|channel| Rights {
        channels: vec![channel.clone()],
        ..NONE
    });
    commands.chain(keys).chain(channels).collect()
}

/// All of these together.
fn together<'a>(all: impl Iterator<Item = &'a Rights>) -> Rights {
    let mut sum = NONE;
    for one in all {
        sum.commands.extend(&one.commands);
        sum.keys.extend(one.keys.iter().cloned());
        sum.channels.extend(one.channels.iter().cloned());
    }
    sum
}

/// The rule that gives a single right, or what of it no wider pattern of the rest gives; `None` if one gives
/// all of it.
fn rule_of(one: &Rights, rest: &Rights) -> Option<String> {
    let mut one = one.clone();
    if let Some((access, pattern)) = one.keys.first_mut() {
        let wider = |(_, other): &&(KeyAccess, String)| {
            let prefix = other.strip_suffix('*');
            other != pattern && prefix.is_some_and(|prefix| pattern.starts_with(prefix))
        };
        match rest.keys.iter().find(wider) {
            Some((KeyAccess::Read, _)) if *access == KeyAccess::ReadWrite => {
                *access = KeyAccess::Write;
            }
            Some((wider, _)) if wider == access || *wider == KeyAccess::ReadWrite => return None,
            _ => {}
        }
    }
    let none = ["-@all", "resetkeys", "resetchannels"];
    let mut rules = one.rules().into_iter();
    rules.find(|rule| !none.contains(&rule.as_str()))
}

#[tokio::test]
async fn each_right_that_is_missing_is_named() {
    let mut rig = rig().await;
    let queues = queues();
    for role in Role::ALL {
        let store = store_of(&mut rig, role).await;
        let own = if role.has_queues() { &queues[..] } else { &[] };
        let mut all = rights(role);
        all.commands.retain(|command| !UNASKED.contains(command));
        let each = one_by_one(&all);
        // As many at a time as are named.
        for missing in each.chunks(10) {
            let rest = together(each.iter().filter(|one| !missing.contains(one)));
            set_user(&mut rig, role.as_str(), &rest).await;
            let rules = missing.iter().filter_map(|one| rule_of(one, &rest));
            let told = store.check_server(role, own).await.unwrap_err().to_string();
            let who = format!("user {role} (of redis_url) lacks ");
            assert!(told.contains(&who), "{told}");
            let named = told
                .split_once(" lacks ")
                .and_then(|(_, rest)| rest.split_once(" to be a "));
            let (named, _) = named.unwrap_or_else(|| panic!("{role}: {told}"));
            let named: BTreeSet<String> = named.split(' ').map(str::to_owned).collect();
            assert_eq!(named, rules.collect(), "{role}: {told}");
        }
        set_user(&mut rig, role.as_str(), &all).await;
        eventually(SOON, "it is enough again", async || {
            store.check_server(role, own).await.is_ok()
        })
        .await;
    }
}
