//! JSON as texts and values: what every client can read, objects whose members stay as they were written, objects and nothing
//! else read into structs, and JSON Schemas. Nothing here knows of jobs or Redis.

pub(crate) mod object;
pub(crate) mod raw;
pub(crate) mod readable;
pub(crate) mod schema;
pub(crate) mod shared;
