//! The W3C trace context that a client sends in `_meta`.

use std::borrow::Cow;

use taskferry_contract::TraceContext;

/// The longest `traceparent`, bytes: its first version has 55, later ones may have more.
pub(crate) const LONGEST_PARENT: usize = 64;
/// The longest `tracestate`, bytes: what the W3C asks everybody to pass on.
pub(crate) const LONGEST_STATE: usize = 512;
/// The longest `baggage`, bytes. The W3C allows 8192, but it is stored with each task.
pub(crate) const LONGEST_BAGGAGE: usize = 1024;

/// The members of `_meta` that tell of the trace, as far as they can be passed on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace<'a> {
    parent: Option<Cow<'a, str>>,
    state: Option<Cow<'a, str>>,
    baggage: Option<Cow<'a, str>>,
}

impl<'a> Trace<'a> {
    /// `traceparent`, `tracestate` and `baggage`. One that is too long or has other characters is dropped; a state goes with
    /// its parent.
    pub(crate) fn of([parent, state, baggage]: [Option<Cow<'a, str>>; 3]) -> Self {
        let graphic = |byte: u8| byte.is_ascii_graphic();
        // Lists of members, which may have spaces and tabs between them.
        let listed = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t';
        let parent = parent.filter(|text| fits(text, LONGEST_PARENT, graphic));
        let state = state.filter(|text| parent.is_some() && fits(text, LONGEST_STATE, listed));
        Self {
            baggage: baggage.filter(|text| fits(text, LONGEST_BAGGAGE, listed)),
            parent,
            state,
        }
    }

    /// The same, for the job's record.
    pub(crate) fn context(&self) -> TraceContext<'_> {
        TraceContext {
            parent: self.parent.as_deref(),
            state: self.state.as_deref(),
            baggage: self.baggage.as_deref(),
        }
    }
}

fn fits(text: &str, longest: usize, is_allowed: impl Fn(u8) -> bool) -> bool {
    text.len() <= longest && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(meta: &serde_json::Value) -> (Option<String>, Option<String>, Option<String>) {
        let member = |name: &str| meta[name].as_str().map(|text| text.to_owned().into());
        let trace = Trace::of(["traceparent", "tracestate", "baggage"].map(member));
        let TraceContext {
            parent,
            state,
            baggage,
        } = trace.context();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        (owned(parent), owned(state), owned(baggage))
    }

    #[test]
    fn what_can_be_passed_on_is_and_the_rest_is_dropped_alone() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let full = serde_json::json!({ "traceparent": parent, "tracestate": "a=1, b=2", "baggage": "user=alice" });
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            context(&full),
            (some(parent), some("a=1, b=2"), some("user=alice"))
        );
        let longer = |key: &str, length: usize| {
            let mut meta = full.clone();
            meta[key] = "x".repeat(length).into();
            context(&meta)
        };
        let (parent, state, _) = longer("traceparent", LONGEST_PARENT + 1);
        assert_eq!((parent, state), (None, None));
        assert!(longer("traceparent", LONGEST_PARENT).1.is_some());
        assert!(longer("tracestate", LONGEST_STATE).1.is_some());
        let (parent, state, baggage) = longer("tracestate", LONGEST_STATE + 1);
        assert!(parent.is_some() && state.is_none() && baggage.is_some());
        assert!(longer("baggage", LONGEST_BAGGAGE).2.is_some());
        assert!(longer("baggage", LONGEST_BAGGAGE + 1).2.is_none());
        for wrong in ["a\nb", "\u{e9}", "\0"] {
            assert_eq!(context(&serde_json::json!({ "baggage": wrong })).2, None);
        }
    }
}
