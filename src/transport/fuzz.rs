//! Fuzz targets of the transport.

pub use crate::transport::http::fuzz::{headers, peers};
