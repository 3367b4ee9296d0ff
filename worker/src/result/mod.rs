//! What a tool answers: a `CallToolResult`, how it is made, checked and summed up.

mod checked;
pub(crate) mod output_schema;
mod summary;
mod tool_result;

pub(crate) use checked::{Expected, ResultFault, passed_through, structured};
pub use summary::SUMMARY_CHARS;
pub(crate) use summary::end_of;
pub use tool_result::ToolResult;
