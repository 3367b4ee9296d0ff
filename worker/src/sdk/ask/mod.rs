//! Questions to the client: what can be asked, under which key, and how its answer is read.

mod answer;
mod error;
mod key;
mod params;
mod request;

pub(crate) use answer::{checked_answer, read_answer};
pub use error::AskError;
pub(crate) use key::check_key;
pub use request::AskRequest;
pub(crate) use request::WrittenQuestion;
