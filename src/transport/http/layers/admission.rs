//! How many requests may be open at once. One that waits is cheap, but not free, and whoever opens more than a front end
//! can hold would take it from everyone. So would one peer that fills it: each has at most a share.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use taskferry_contract::Owner;
use taskferry_process::{Budget, Share, Shares};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::transport::http::connections::Connected;
use crate::transport::http::layers::rates::Rates;
use crate::transport::http::peers::Peer;
use crate::transport::http::refused::Refused;
use crate::transport::http::respond::NotThere;

/// The requests that may still be opened.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct Admission {
    free: Arc<Semaphore>,
    most: usize,
    /// What each peer has open.
    shares: Shares<Peer>,
    most_of_peer: usize,
    /// How often each peer asks.
    rates: Rates,
}

impl Admission {
    /// Room for `most` requests, of which one peer may have `most_of_peer`.
    pub(in crate::transport::http) fn new(most: usize, most_of_peer: usize, rates: Rates) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(most)),
            most,
            shares: Shares::default(),
            most_of_peer,
            rates,
        }
    }

    /// Takes room for one request.
    fn take(&self, peer: Option<Peer>, connected: Option<Connected>) -> Result<Room, Refused> {
        if let Some(Err(wait)) = peer.map(|peer| self.rates.take(peer)) {
            let setting = "address_rate, or trusted_proxies if it is a proxy's,";
            return Err(Refused::too_fast("your address", setting, wait));
        }
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_none| {
            let most = self.most;
            Refused::for_now(format!(
                "this server has as many open requests as it may ({most}), its setting max_requests; try again in a moment"
            ))
        })?;
        let share = peer.map(|peer| self.share(peer)).transpose()?;
        Ok(Room {
            held: Arc::new(Held {
                _of_peer: (permit, share),
                connected,
                of_owner: OnceLock::new(),
            }),
        })
    }

    fn share(&self, peer: Peer) -> Result<Share<Peer>, Refused> {
        let most = self.most_of_peer;
        self.shares.take(peer, most).ok_or_else(|| {
            Refused::share_is_taken(format!(
                "your address has as many open requests as one may have here ({most}): the server's settings peer_share and max_requests. If it is the address of a proxy, name it in trusted_proxies"
            ))
        })
    }
}

/// What one request takes of it, given back with the last clone; its connection is not idle until then.
#[derive(Debug, Clone)]
pub(in crate::transport::http) struct Room {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    _of_peer: (OwnedSemaphorePermit, Option<Share<Peer>>),
    connected: Option<Connected>,
    of_owner: OnceLock<Share<Owner>>,
}

impl Room {
    /// Holds also what its caller takes of what one caller may have, and notes which memory its answer is taken from.
    pub(in crate::transport::http) fn hold(&self, share: Share<Owner>, memory: Budget) {
        // A request is identified once.
        let _first = self.held.of_owner.set(share);
        if let Some(connected) = &self.held.connected {
            connected.draws_on(memory);
        }
    }
}

/// Serves a request if there is room, which it holds until the last of its answer was taken, or its client is gone and
/// nothing is done for it any more.
pub(in crate::transport::http) async fn admit(
    State(admission): State<Admission>,
    mut request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions_mut();
    let peer = extensions.get::<Peer>().copied();
    let room = match admission.take(peer, extensions.remove::<Connected>()) {
        Ok(room) => room,
        Err(refused) => return refused.into_response(),
    };
    extensions.insert(room.clone());
    let response = next.run(request).await;
    let not_there = response.extensions().get::<NotThere>();
    let not_let_in = u32::from(response.status() == StatusCode::UNAUTHORIZED);
    let failed = not_there.map_or(not_let_in, |NotThere(times)| *times);
    if let (1.., Some(peer)) = (failed, peer) {
        admission.rates.failed(peer, failed);
    }
    response.map(|body| {
        // The body keeps its room as long as it lives.
        Body::new(body.inspect_frame(move |_frame| {
            let _held = &room;
        }))
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn one_peer_leaves_room_for_others() {
        let admission = Admission::new(3, 2, Rates::new(None));
        let peer = |last: u8| Some(Peer::from(IpAddr::from([192, 0, 2, last])));
        let first = admission.take(peer(1), None).unwrap();
        let _second = admission.take(peer(1), None).unwrap();
        let refused = admission.take(peer(1), None).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        let _other = admission.take(peer(2), None).unwrap();
        let refused = admission.take(peer(3), None).unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        drop(first);
        assert!(admission.take(peer(1), None).is_ok());
    }

    #[test]
    fn what_was_refused_holds_nothing() {
        let admission = Admission::new(1, 1, Rates::new(None));
        let [one, two] = [1, 2].map(|last| Peer::from(IpAddr::from([192, 0, 2, last])));
        let first = admission.take(Some(one), None).unwrap();
        assert!(admission.take(Some(two), None).is_err());
        drop(first);
        assert!(admission.take(Some(two), None).is_ok());
        assert_eq!(
            (admission.shares.of(&one), admission.shares.of(&two)),
            (0, 0)
        );
    }
}
