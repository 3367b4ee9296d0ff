//! Works the jobs of lifecycles off: the worker library with a handler that does nothing, in a process of its own.

use anyhow::bail;
use serde_json::value::RawValue;
use taskferry_worker::{JobContext, ToolOutput, Worker};
use tokio_util::sync::CancellationToken;

use crate::child;
use crate::cli::Part;
use crate::work::{self, Kind};

/// Works until the parent ends.
pub(crate) async fn run(part: &Part) -> anyhow::Result<()> {
    child::end_with_parent();
    let result = RawValue::from_string(work::result(part.payload_bytes))?;
    let answer = move |_job: JobContext| {
        let output = ToolOutput::result(&result);
        async { output }
    };
    let worker = Worker::builder(work::store(&part.redis_url)?)
        .slots(part.slots)
        .tool(Kind::Noop.definition()?, answer)
        .build()?;
    let drained = worker.run(CancellationToken::new()).await?;
    bail!("the worker ended by itself: {drained:?}")
}
