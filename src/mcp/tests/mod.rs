//! The protocol without any transport: what a client of each era does from its first message to its last, with a real store
//! and a real worker. Whatever carries messages needs no more of `mcp` than these tests use.

mod legacy;
mod modern;
mod rig;
