//! Whose turn it is, of the queues that a worker reads.

use taskferry_contract::QueueName;

/// Gives out turns to queues by their weights. Of as many turns in a row as all weights together make, each queue has as
/// many as its weight says, spread evenly: with the weights 3 and 1, every fourth turn is the light one's.
///
/// A turn that its queue cannot use goes to the next at once, and counts as had: nobody saves turns up while it has no
/// jobs, and nobody waits for one that has none.
#[derive(Debug)]
pub(crate) struct Turns(Vec<Place>);

#[derive(Debug)]
struct Place {
    queue: QueueName,
    weight: i64,
    /// How far it is behind its share, in turns times the sum of all weights. The sum of all is zero.
    behind: i64,
}

impl Turns {
    /// Turns of these queues, each with its weight, from 1.
    pub(crate) fn new(queues: impl IntoIterator<Item = (QueueName, u32)>) -> Self {
        let places = queues.into_iter().map(|(queue, weight)| Place {
            queue,
            weight: i64::from(weight.max(1)),
            behind: 0,
        });
        Self(places.collect())
    }

    /// Gives out so many turns to queues that have room for them, and says how many each has got, in the order of their
    /// first turns. Fewer if there is no room for more.
    pub(crate) fn share(
        &mut self,
        turns: usize,
        room: impl Fn(&QueueName) -> usize,
    ) -> Vec<(QueueName, usize)> {
        let mut shares: Vec<(QueueName, usize)> = Vec::new();
        for _ in 0..turns {
            let had = |queue: &QueueName| {
                let share = shares.iter().find(|(other, _)| other == queue);
                share.map_or(0, |(_, turns)| *turns)
            };
            let Some(queue) = self.next(|queue| had(queue) < room(queue)) else {
                break;
            };
            match shares.iter_mut().find(|(other, _)| *other == queue) {
                Some((_, turns)) => *turns += 1,
                None => shares.push((queue, 1)),
            }
        }
        shares
    }

    /// The queue that has the next turn, of those that can use it. `None` if none can.
    fn next(&mut self, can_use: impl Fn(&QueueName) -> bool) -> Option<QueueName> {
        let usable: Vec<bool> = self.0.iter().map(|place| can_use(&place.queue)).collect();
        if !usable.contains(&true) {
            return None;
        }
        loop {
            let turn = self.advance()?;
            if usable.get(turn) == Some(&true) {
                return self.0.get(turn).map(|place| place.queue.clone());
            }
        }
    }

    /// Gives the next turn to the queue that is the furthest behind, by its place. The earlier of equals comes first, so
    /// that the turns repeat themselves and each queue has its own once in as many turns as all weights make.
    fn advance(&mut self) -> Option<usize> {
        let all: i64 = self.0.iter().map(|place| place.weight).sum();
        for place in &mut self.0 {
            place.behind += place.weight;
        }
        let places = self.0.iter().enumerate();
        let (turn, _) = places.rev().max_by_key(|(_, place)| place.behind)?;
        self.0.get_mut(turn)?.behind -= all;
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(queues: &[(&str, u32)]) -> Turns {
        let queues = queues.iter();
        Turns::new(queues.map(|(name, weight)| (name.parse().unwrap(), *weight)))
    }

    /// The next so many turns, one by one, of queues that always have jobs, but for those named.
    fn taken(turns: &mut Turns, count: usize, without: &[&str]) -> Vec<String> {
        let room = |queue: &QueueName| usize::from(!without.contains(&queue.as_str()));
        let one = || turns.share(1, room).pop();
        let taken = std::iter::repeat_with(one).take(count);
        let taken =
            taken.map(|turn| turn.map_or("nobody".to_owned(), |(queue, _)| queue.to_string()));
        taken.collect()
    }

    fn count(taken: &[String], queue: &str) -> usize {
        taken.iter().filter(|turn| *turn == queue).count()
    }

    #[test]
    fn turns_are_spread_evenly() {
        let mut three = turns(&[("a", 3), ("b", 1)]);
        assert_eq!(taken(&mut three, 8, &[]).concat(), "aabaaaba");
        let mut equal = turns(&[("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(taken(&mut equal, 7, &[]).concat(), "abcabca");
    }

    #[test]
    fn of_any_turns_in_a_row_each_queue_has_its_share() {
        for weights in [[1, 100, 1], [5, 3, 2], [1, 1, 1], [100, 99, 98], [7, 1, 1]] {
            let [a, b, c] = weights;
            let mut of_all = turns(&[("a", a), ("b", b), ("c", c)]);
            let all = usize::try_from(a + b + c).unwrap();
            let taken = taken(&mut of_all, 3 * all, &[]);
            for window in taken.windows(all) {
                for (queue, weight) in ["a", "b", "c"].into_iter().zip(weights) {
                    let had = count(window, queue);
                    assert_eq!(
                        had,
                        usize::try_from(weight).unwrap(),
                        "{queue} of {weights:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_queue_without_jobs_costs_the_others_nothing_and_saves_nothing_up() {
        let mut of_all = turns(&[("heavy", 100), ("a", 3), ("b", 1)]);
        let without = taken(&mut of_all, 400, &["heavy"]);
        assert_eq!((count(&without, "a"), count(&without, "b")), (300, 100));
        // From now on it has jobs again: its share, and not what it had no use for.
        let with = taken(&mut of_all, 104, &[]);
        let counts = ["heavy", "a", "b"].map(|queue| count(&with, queue));
        assert_eq!(counts, [100, 3, 1]);
        let alone = taken(&mut of_all, 3, &["heavy", "a"]);
        assert_eq!(alone, ["b", "b", "b"]);
    }

    #[test]
    fn several_turns_at_a_time_are_shared_as_one_by_one_up_to_the_room() {
        let mut of_all = turns(&[("a", 3), ("b", 1), ("c", 1)]);
        let name = |name: &str| name.parse::<QueueName>().unwrap();
        let shares = of_all.share(5, |_| usize::MAX);
        assert_eq!(shares, [(name("a"), 3), (name("b"), 1), (name("c"), 1)]);
        // `a` takes no more than two, and the rest is for the others.
        let room = |queue: &QueueName| if *queue == name("a") { 2 } else { usize::MAX };
        let shares = of_all.share(8, room);
        let of = |queue: &str| {
            shares
                .iter()
                .find(|(other, _)| *other == name(queue))
                .unwrap()
                .1
        };
        assert_eq!((of("a"), of("b"), of("c")), (2, 3, 3));
        assert_eq!(of_all.share(8, |_| 1).len(), 3);
        assert_eq!(of_all.share(8, |_| 0), []);
        assert_eq!(turns(&[]).share(8, |_| 1), []);
    }
}
