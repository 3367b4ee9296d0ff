//! A tool that is a script and asks, with what its tests need.

use std::path::PathBuf;

use serde_json::{Value, json};
use taskferry_contract::{AnswerReply, QuestionRef, TaskId, TaskView, ToolDefinition};
use taskferry_testing::eventually;
use taskferry_worker::Builder;
use taskferry_worker::manifest::Manifest;
use tempfile::TempDir;

use crate::outcomes::environment;
use crate::rig::{Rig, SOON, owner, text, tool};

/// What a script asks with.
const FORM: &str = r#"elicitation {"message":"Go on?","requestedSchema":{"type":"object"}}"#;

/// A tool that is a shell script, in a folder of its own.
pub(crate) struct Script {
    pub(crate) rig: Rig,
    pub(crate) folder: TempDir,
    manifest: Manifest,
    pub(crate) definition: ToolDefinition,
}

impl Script {
    /// A tool that asks; `FORM` stands for what it asks with.
    pub(crate) async fn new(script: &str) -> Self {
        Self::with("asks = true", script).await
    }

    pub(crate) async fn with(lines: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = script.replace("FORM", FORM);
        std::fs::write(folder.path().join("tool.sh"), script).unwrap();
        let text = format!(
            "[[tool]]\nname = 'asking'\ndescription = 'd'\ncommand = ['sh', 'tool.sh']\n\
             stop_grace = '10s'\nbackoff_initial = '50ms'\n{lines}\n"
        );
        let manifest = Manifest::parse(&text, folder.path()).unwrap();
        Self {
            rig: Rig::new().await,
            folder,
            manifest,
            definition: tool("asking"),
        }
    }

    pub(crate) fn builder(&self) -> Builder {
        self.rig
            .builder()
            .slots(1)
            .exec_manifest(&self.manifest, &environment())
    }

    pub(crate) async fn submit(&self) -> TaskId {
        self.rig.submit(&self.definition, "{}").await
    }

    pub(crate) async fn answer(&self, id: TaskId, key: &str, answer: &Value) {
        let (owner, answer) = (owner(), answer.to_string());
        let stored = self.rig.store.answer_input(
            QuestionRef {
                task: id,
                owner: &owner,
                key,
            },
            &answer,
        );
        assert!(matches!(stored.await.unwrap(), AnswerReply::Stored { .. }));
    }

    /// The task once the questions are open and nobody holds it.
    pub(crate) async fn parked(&self, id: TaskId) {
        let key = self.rig.store.keys().record(id);
        eventually(SOON, "nobody holds it", async || {
            let fields = ["HMGET", &key, "status", "worker", "entry"];
            let fields: Vec<Option<String>> = self.rig.raw(&fields).await;
            let fields: Vec<&str> = fields.iter().flatten().map(String::as_str).collect();
            fields == ["input_required", "", ""]
        })
        .await;
    }

    /// The keys of the open questions, once there are that many.
    pub(crate) async fn open(&self, id: TaskId, count: usize) -> Vec<String> {
        let keys = async || -> Vec<String> {
            let open = self.rig.store.questions(id).await.unwrap();
            open.into_iter().map(|question| question.key).collect()
        };
        eventually(SOON, "it has asked", async || keys().await.len() == count).await;
        keys().await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn written(&self, name: &str) -> String {
        let path = self.path(name);
        eventually(SOON, "a script has written a file", async || path.exists()).await;
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    pub(crate) async fn field(&self, id: TaskId, name: &str) -> String {
        let key = self.rig.store.keys().record(id);
        self.rig.raw(&["HGET", &key, name]).await
    }
}

pub(crate) fn accepted() -> Value {
    json!({ "action": "accept", "content": {} })
}

/// The whole text of a tool error.
pub(crate) fn error(task: &TaskView) -> String {
    assert!(task.is_error, "{task:?}");
    text(task)
}

/// What a script prints for two lines of standard input, which it was told after its arguments.
pub(crate) fn told(task: &TaskView) -> Vec<Value> {
    let lines = text(task);
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
