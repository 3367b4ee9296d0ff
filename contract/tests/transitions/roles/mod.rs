//! The rights of each role: what it does is done by a user that has just these, each of them is needed for something that
//! was done, and each that is missing is named.

mod done;
mod named;
mod needed;

use taskferry_contract::{QueueName, RedisSettings, Rights, Role, Shards, Store};
use taskferry_testing::ServerOptions;

use crate::cluster::generous;
use crate::rig::Rig;

/// The queues of the worker here.
fn queues() -> [QueueName; 1] {
    [QueueName::default_queue()]
}

fn rights(role: Role) -> Rights {
    let queues = queues();
    role.rights("tf", if role.has_queues() { &queues } else { &[] })
}

async fn set_user(rig: &mut Rig, user: &str, rights: &Rights) {
    let mut words = vec!["SETUSER".to_owned(), user.to_owned()];
    words.extend(["reset", "on", ">pw"].map(str::to_owned));
    words.extend(rights.rules());
    rig.raw::<()>("ACL", words).await;
}

/// A store as a user in this role.
async fn store_of(rig: &mut Rig, role: Role) -> Store {
    set_user(rig, role.as_str(), &rights(role)).await;
    let url = rig.server.url().replace("://", &format!("://{role}:pw@"));
    Store::new(&RedisSettings::new(&url)).unwrap()
}

async fn rig() -> Rig {
    let mut rig = Rig::on(ServerOptions::default(), Shards::default()).await;
    rig.tool.concurrency = Some(1);
    rig.tool.rate = Some(generous());
    rig
}
