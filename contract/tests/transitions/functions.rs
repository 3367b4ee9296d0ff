//! The library of functions: what becomes of an installation, and what is seen of it.

use taskferry_contract::{
    CONTRACT_VERSION, Installed, LIBRARY, Libraries, LibraryVersion, RedisSettings, Replaces, Role,
    Store, Verdict,
};

use crate::rig::Rig;

/// Puts a library there that is none of this release's: it has the functions that `functions` register.
async fn load(rig: &mut Rig, name: &str, functions: &str) {
    let source = format!("#!lua name={name}\n{functions}");
    rig.raw::<String>("FUNCTION", ("LOAD", "REPLACE", source))
        .await;
}

/// A function `tf3_version` that describes itself so.
fn version(described: &str) -> String {
    format!(
        "redis.register_function{{ function_name = 'tf3_version', description = '{described}', callback = function() return 1 end }}"
    )
}

fn version_of(release: &str) -> String {
    let digest = "0".repeat(40);
    format!("contract {CONTRACT_VERSION}, release {release}, {digest}")
}

#[tokio::test]
async fn an_older_library_is_replaced_and_a_newer_one_stays() {
    let mut rig = Rig::new().await;
    let store = rig.store.clone();
    let install = async |replaces| store.install_functions(replaces).await.unwrap();
    assert_eq!(install(Replaces::Older).await, Installed::New);
    let own = LIBRARY.version.clone();
    assert_eq!(install(Replaces::Same).await, Installed::Kept(own.clone()));
    let version_now: Vec<String> = rig.raw("FCALL", ("tf3_version", 0)).await;
    let own_contract = CONTRACT_VERSION.to_string();
    let said = [own_contract, own.release.clone(), own.digest.clone()];
    assert_eq!(version_now[1..], said);

    for (there, kept_by, replaced_by) in [
        ("0.0.1", None, Replaces::Older),
        (own.release.as_str(), Some(Replaces::Older), Replaces::Same),
        ("99.0.0", Some(Replaces::Same), Replaces::Any),
    ] {
        load(&mut rig, "taskferry_3", &version(&version_of(there))).await;
        let there: LibraryVersion = version_of(there).parse().unwrap();
        if let Some(kept_by) = kept_by {
            assert_eq!(install(kept_by).await, Installed::Kept(there.clone()));
        }
        let replaced = install(replaced_by).await;
        assert_eq!(replaced, Installed::Replaced(Some(there)));
        assert_eq!(install(Replaces::Older).await, Installed::Kept(own.clone()));
    }
    load(&mut rig, "taskferry_3", &version("something else")).await;
    assert_eq!(install(Replaces::Older).await, Installed::Replaced(None));
}

#[tokio::test]
async fn a_library_with_the_same_names_is_named_and_stays() {
    let mut rig = Rig::new().await;
    load(&mut rig, "other", &version("mine")).await;
    let installed = rig.store.install_functions(Replaces::Any).await.unwrap();
    let by = "other".to_owned();
    assert_eq!(installed, Installed::NamesTaken { by });
    let seen = rig.store.libraries().await.unwrap();
    let (own, others) = (None, Vec::new());
    assert_eq!(seen, Libraries::Seen { own, others });
}

#[tokio::test]
async fn who_may_not_see_or_load_libraries_is_told_so() {
    let mut rig = Rig::new().await;
    let rules = "SETUSER limited on >pw ~tf:* &tf:* +@all -@admin -@dangerous +info +client|unblock -function -fcall";
    rig.raw::<()>("ACL", rules.split(' ').collect::<Vec<_>>())
        .await;
    let url = rig.server.url().replace("://", "://limited:pw@");
    let limited = Store::new(&RedisSettings::new(&url)).unwrap();
    let refused = limited.install_functions(Replaces::Same).await.unwrap();
    assert_eq!(refused, Installed::Forbidden("FUNCTION LIST"));
    assert_eq!(limited.libraries().await.unwrap(), Libraries::Hidden);
    // They are enough for every role all the same.
    limited.check_server(Role::FrontEnd, &[]).await.unwrap();
    limited.check_server(Role::Worker, &[]).await.unwrap();

    rig.raw::<()>("ACL", ("SETUSER", "limited", "+function|list"))
        .await;
    let refused = limited.install_functions(Replaces::Same).await.unwrap();
    assert_eq!(refused, Installed::Forbidden("FUNCTION LOAD"));

    // Who may call functions sees of which library they are.
    let rules = ["SETUSER", "limited", "-function|list", "+fcall"];
    rig.raw::<()>("ACL", rules.to_vec()).await;
    let none = Libraries::Seen {
        own: None,
        others: Vec::new(),
    };
    assert_eq!(limited.libraries().await.unwrap(), none);
    rig.store.install_functions(Replaces::Same).await.unwrap();
    let there = Libraries::Seen {
        own: Some(Some(LIBRARY.version.clone())),
        others: Vec::new(),
    };
    assert_eq!(limited.libraries().await.unwrap(), there);
}

#[tokio::test]
async fn doctor_sees_a_library_of_another_major() {
    let mut rig = Rig::new().await;
    let before = "redis.register_function('tf2_version', function() return 1 end)";
    load(&mut rig, "taskferry_2", before).await;
    let findings = rig.store.examine(None, None).await.unwrap();
    let found = findings.iter().find(|found| found.check == "functions");
    let found = found.unwrap();
    assert_eq!(found.verdict, Verdict::Warn);
    let sentence = found.sentence();
    assert!(sentence.contains("taskferry_2") && sentence.contains("taskferry contract install"));
    rig.store.install_functions(Replaces::Older).await.unwrap();
    let findings = rig.store.examine(None, None).await.unwrap();
    assert!(
        findings
            .iter()
            .all(|found| found.check != "functions" || found.verdict == Verdict::Ok)
    );
}
