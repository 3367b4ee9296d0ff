//! What every request passes on its way in, from the outside: pages of other origins see their answers (`cors`), a request names
//! one host (`guard`), and where something is served, a host and an origin that are served (`guard`). At the endpoint of MCP
//! also: who sent it is noted (`peer`), there is room for it (`admission`), the server does not stop (`stopping`), and who calls
//! is known (`identify`).

pub(super) mod admission;
mod check;
pub(super) mod cors;
pub(super) mod guard;
pub(super) mod identify;
pub(super) mod peer;
pub(super) mod rates;
pub(super) mod stopping;
