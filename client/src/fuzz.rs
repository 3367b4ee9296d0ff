//! A fuzz target: what must hold of any bytes. `scripts/fuzz` runs it for long, the test below for a moment.

use crate::sse::{Event, Events};

/// An event stream: it does not matter in which pieces it comes. The first byte says how large they are.
///
/// # Panics
///
/// If it does.
pub fn sse(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let whole = read(std::iter::once(stream));
    let pieces = read(stream.chunks(usize::from(*size % 16) + 1));
    assert_eq!(whole, pieces);
    for event in whole {
        let id = event.id.unwrap_or_default();
        assert!(!id.contains('\n') && id.len() <= 3 * stream.len());
    }
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut events = Events::default();
    pieces.for_each(|piece| events.push(piece));
    std::iter::from_fn(|| events.pop()).collect()
}

#[cfg(test)]
mod tests {
    taskferry_testing::fuzz_tests! { sse }
}
