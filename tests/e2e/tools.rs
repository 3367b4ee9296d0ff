//! The tools of the tests: those that several files use. Any other stands in the test that calls it, which gives its text
//! to [`crate::fleet::Fleet::with_tools`] or [`crate::fleet::worker`].

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use taskferry_testing::{TestServer, redis};

use crate::fleet::in_tree;

/// Their queue, which no worker with other tools serves, and what else all of them have.
const DEFAULTS: &str = r#"
[defaults]
queue = "e2e"
poll_interval = "100ms"
backoff_initial = "100ms"
backoff_max = "1s"
"#;

/// What nearly every test calls.
const BASIC: &str = r#"
[[tool]]
name = "generate_report"
description = "A month's report, from the shipped examples"
command = ["python3", "$HERE/../../examples/scripts/generate_report.py"]
output = "result"
[tool.input_schema]
type = "object"
required = ["month"]
additionalProperties = false
[tool.input_schema.properties.month]
enum = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]

[[tool]]
name = "echo"
description = "Returns its text"
command = ["printf", "%s", "{text}"]
output = "text"
input_schema = '{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false}'

[[tool]]
name = "verbatim"
description = "Returns exactly the bytes it is given as a result"
command = ["printf", "%s", "{result}"]
output = "result"
input_schema = '{"type":"object","properties":{"result":{"type":"string"}},"required":["result"],"additionalProperties":false}'

[[tool]]
name = "nap"
description = "Sleeps in a grandchild, with progress; notes its process group and attempt in a folder"
command = ["sh", "$HERE/nap.sh", "{seconds}", "{folder}"]
stop_grace = "500ms"
input_schema = '{"type":"object","properties":{"seconds":{"type":"number"},"folder":{"type":"string"}},"required":["seconds","folder"],"additionalProperties":false}'

[[tool]]
name = "first_waits"
description = "Notes its process group and attempt in a folder; its first attempt ends when a file there says so, others at once"
command = ["sh", "$HERE/first_waits.sh", "{folder}"]
stop_grace = "500ms"
input_schema = '{"type":"object","properties":{"folder":{"type":"string"}},"required":["folder"],"additionalProperties":false}'

[[tool]]
name = "fail"
description = "Reports a tool error"
command = ["sh", "-c", "echo the printer is out of paper; exit 3"]
attempts = 1
input_schema = '{"type":"object","additionalProperties":false}'

[[tool]]
name = "paced"
description = "Takes three steps, each when a file in a folder says so, and ends at a fourth"
command = ["sh", "$HERE/paced.sh", "{folder}"]
input_schema = '{"type":"object","properties":{"folder":{"type":"string"}},"required":["folder"],"additionalProperties":false}'

[[tool]]
name = "task_only"
description = "Runs only as a task"
command = ["echo", "done"]
task_support = "required"
input_schema = '{"type":"object","additionalProperties":false}'

[[tool]]
name = "never_task"
description = "Never runs as a task"
command = ["echo", "done"]
task_support = "forbidden"
input_schema = '{"type":"object","additionalProperties":false}'
"#;

/// A worker's tool with the name of one that the front end shows by itself.
pub(crate) const SHADOW: &str = r#"
[[tool]]
name = "task_cancel"
description = "Is the worker's own"
command = ["echo", "not yours"]
input_schema = '{"type":"object","additionalProperties":false}'
"#;

/// Stores the definition of a tool, as a worker would that nobody started, and tells every replica.
pub(crate) async fn define(server: &TestServer, definition: &Value) {
    let name = definition["name"].as_str().unwrap();
    let queue = definition["queue"].as_str().unwrap_or("default");
    define_on(server, (queue, name), &definition.to_string()).await;
}

/// The same of the queue `default`, as it is written.
pub(crate) async fn define_as(server: &TestServer, name: &str, definition: &str) {
    define_on(server, ("default", name), definition).await;
}

async fn define_on(server: &TestServer, (queue, name): (&str, &str), definition: &str) {
    let mut redis = server.raw().await;
    let mut change = redis::pipe();
    let tools = format!("tf:{{fleet}}:tools:{queue}");
    let stored = change.cmd("HSET").arg(tools).arg(name);
    stored.arg(definition);
    let noted = change.cmd("ZADD").arg("tf:{fleet}:queues").arg(0);
    noted.arg(queue);
    let told = change.cmd("PUBLISH").arg("tf:{fleet}:tools:changed");
    told.arg("test");
    let _: (u64, u64, u64) = change.query_async(&mut redis).await.unwrap();
}

/// Defines a tool by its name and the schema of its arguments alone.
pub(crate) async fn register(server: &TestServer, name: &str, schema: &Value) {
    let definition = json!({ "name": name, "input_schema": schema });
    define(server, &definition).await;
}

/// A manifest of what nearly every test calls, and more.
pub(crate) fn with_basic(tools: &str) -> String {
    [DEFAULTS, BASIC, tools].concat()
}

/// A manifest of what nearly every test calls.
pub(crate) fn basic() -> String {
    with_basic("")
}

/// Writes the manifest of a worker; its path. In the text, `$HERE` is the folder of the tests' scripts.
pub(crate) fn manifest(tools: &str) -> PathBuf {
    let here = in_tree("tests/e2e");
    let text = tools.replace("$HERE", here.to_str().unwrap());
    let mut name = DefaultHasher::new();
    text.hash(&mut name);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{:x}.toml", name.finish()));
    // Other tests may write the same text at the same moment.
    let own = tempfile::NamedTempFile::new_in(folder).unwrap();
    std::fs::write(own.path(), text).unwrap();
    own.persist(&path).unwrap();
    path
}
