//! A job remembers which definition its call was checked against, and workers say which they have.

use taskferry_contract::{DefinitionDigest, Submission};

use crate::rig::Rig;
use crate::samples::worker;

#[tokio::test]
async fn a_job_remembers_the_definition_that_its_call_was_checked_against() {
    let mut rig = Rig::new().await;
    let digest = DefinitionDigest::of(&rig.tool);
    let id = rig
        .submit_as(Submission {
            definition: Some(&digest),
            ..rig.submission()
        })
        .await;
    assert_eq!(rig.record(id).await["definition"], digest.as_str());
    let (hold, job) = rig.start().await;
    assert_eq!(job.definition, Some(digest));
    rig.finish(&hold).await;

    // Of a front end that knows no digests, or writes none that can be read.
    for written in [None, Some("a b")] {
        let id = rig.submit().await;
        assert!(!rig.record(id).await.contains_key("definition"));
        if let Some(written) = written {
            let record = rig.store.keys().record(id);
            let field = (record, "definition", written);
            rig.raw::<()>("HSET", field).await;
        }
        let (hold, job) = rig.start().await;
        assert_eq!(job.definition, None);
        rig.finish(&hold).await;
    }
}

#[tokio::test]
async fn a_definition_is_held_while_a_worker_says_so() {
    let mut rig = Rig::new().await;
    let tool = rig.tool.name.clone();
    let [first, second] = ["1-a", "1-b"].map(|digest| digest.parse::<DefinitionDigest>().unwrap());
    let held = async |digest| rig.store.is_held(&tool, digest).await.unwrap();
    assert!(!held(&first).await);
    let other = "other".parse().unwrap();
    let both = [(tool.clone(), first.clone()), (other, second.clone())];
    rig.store.beat(&worker("w1"), &both).await.unwrap();
    assert!(held(&first).await);
    assert!(!held(&second).await, "it is another tool's");
    // A worker that begins nothing more says that it lives, and holds none.
    rig.store.beat(&worker("w1"), &[]).await.unwrap();
    assert!(held(&first).await, "nobody took it back");
    let silent = rig.store.now_ms().await.unwrap() - 31_000;
    let member = format!("{tool} {first}");
    rig.raw::<()>("ZADD", ("tf:{fleet}:definitions", silent, &member))
        .await;
    assert!(!rig.store.is_held(&tool, &first).await.unwrap());
    let gone = rig.store.now_ms().await.unwrap() - 61_000;
    rig.raw::<()>("ZADD", ("tf:{fleet}:definitions", gone, &member))
        .await;
    rig.store.beat(&worker("w2"), &[]).await.unwrap();
    let left: Vec<String> = rig.raw("ZRANGE", ("tf:{fleet}:definitions", 0, -1)).await;
    assert_eq!(left, ["other 1-b"]);
}
