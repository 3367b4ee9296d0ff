//! Questions to a client of this era, and its answers: they travel in results and requests, by key.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use taskferry_contract::{PART_DEPTH, Question, check_readable, quoted};

use crate::mcp::jsonrpc::RpcError;
use crate::mcp::protocol::capabilities::missing_to_be_asked;
use crate::mcp::protocol::refusal::Refusal;

/// Bounds on the answers that one call brings along.
const MOST_ANSWERS: usize = 32;
const LARGEST_ANSWERS: usize = 64 << 10;
/// No question has a longer key.
const LONGEST_KEY: usize = 64;

/// Questions by key.
pub(super) type InputRequests = BTreeMap<String, Box<RawValue>>;

/// The questions that a client which declares `declared` can be asked; another client of the same caller may have begun the
/// job.
pub(super) fn input_requests(questions: Vec<Question>, declared: &str) -> InputRequests {
    questions
        .into_iter()
        .filter(|question| missing_to_be_asked(&question.request, declared).is_empty())
        .filter_map(|question| Some((question.key, RawValue::from_string(question.request).ok()?)))
        .collect()
}

/// The answers, each an object. Those whose key can be no question's are ignored.
pub(super) fn read_answers<'a>(
    responses: impl IntoIterator<Item = (&'a Cow<'a, str>, &'a &'a RawValue)>,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut answers = Vec::new();
    for (key, answer) in responses {
        if !answer.get().starts_with('{') {
            let text = format!(
                "inputResponses[{0}] must be an object: the result of the request {0}",
                quoted(key)
            );
            return Err(RpcError::invalid_params(text).into());
        }
        if let Err(error) = check_readable(answer.get(), PART_DEPTH) {
            let text = format!("inputResponses.{key} cannot be used: {error}");
            return Err(RpcError::invalid_params(text).into());
        }
        if key.len() <= LONGEST_KEY {
            answers.push((key.to_string(), answer.get().to_owned()));
        }
    }
    check_amount(&answers)?;
    Ok(answers)
}

/// Answers that came before, and new ones, which take the place of those with the same key. No more than one call may bring: a
/// client that makes a call again and again could else have the job begin with any number.
pub(super) fn together(
    mut known: Vec<(String, String)>,
    new: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, Refusal> {
    known.retain(|(key, _)| !new.iter().any(|(newer, _)| newer == key));
    known.extend(new);
    check_amount(&known)?;
    Ok(known)
}

fn check_amount(answers: &[(String, String)]) -> Result<(), Refusal> {
    let size: usize = answers.iter().map(|(_, answer)| answer.len()).sum();
    if answers.len() > MOST_ANSWERS || size > LARGEST_ANSWERS {
        let text = format!(
            "inputResponses must be at most {MOST_ANSWERS} answers of {LARGEST_ANSWERS} bytes together, with those that requestState has"
        );
        return Err(RpcError::invalid_params(text).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many answers are taken.
    fn taken(answers: impl IntoIterator<Item = (String, String)>) -> Option<usize> {
        let answers = answers.into_iter();
        let raw: Vec<(Cow<'_, str>, Box<RawValue>)> = answers
            .map(|(key, answer)| (key.into(), RawValue::from_string(answer).unwrap()))
            .collect();
        let all: Vec<(&Cow<'_, str>, &RawValue)> =
            raw.iter().map(|(key, answer)| (key, &**answer)).collect();
        let read = read_answers(all.iter().map(|(key, answer)| (*key, answer)));
        read.ok().map(|read| read.len())
    }

    #[test]
    fn answers_of_several_rounds_are_bounded_together() {
        let round = |from: usize, count: usize| -> Vec<(String, String)> {
            let keys = (from..from + count).map(|key| key.to_string());
            keys.map(|key| (key, "{}".to_owned())).collect()
        };
        let first = together(Vec::new(), round(0, 20)).unwrap();
        let second = together(first, round(10, 22)).unwrap();
        assert_eq!(second.len(), MOST_ANSWERS);
        let again = together(second, vec![("0".to_owned(), "{\"x\":1}".to_owned())]).unwrap();
        assert_eq!(again.len(), MOST_ANSWERS);
        assert_eq!(again.last().unwrap().1, "{\"x\":1}");
        assert!(together(again, round(MOST_ANSWERS, 1)).is_err());
        let half = |key: &str| vec![(key.to_owned(), of_bytes(LARGEST_ANSWERS / 2 + 1))];
        let first = together(Vec::new(), half("a")).unwrap();
        assert!(together(first, half("b")).is_err());
    }

    fn of_bytes(bytes: usize) -> String {
        let frame = r#"{"x":""}"#.len();
        format!(r#"{{"x":"{}"}}"#, "a".repeat(bytes - frame))
    }

    #[test]
    fn answers_are_bounded_in_number_and_size_and_each_is_an_object() {
        let many = |count: usize| (0..count).map(|n| (n.to_string(), "{}".to_owned()));
        assert_eq!(taken(many(MOST_ANSWERS)), Some(MOST_ANSWERS));
        assert_eq!(taken(many(MOST_ANSWERS + 1)), None);
        assert_eq!(taken(many(MOST_ANSWERS + 2)), None);
        let large = |bytes: usize| [("a".to_owned(), of_bytes(bytes))];
        assert_eq!(taken(large(LARGEST_ANSWERS)), Some(1));
        assert_eq!(taken(large(LARGEST_ANSWERS + 1)), None);
        assert_eq!(taken(large(LARGEST_ANSWERS * 2)), None);
        let halves = ["a", "b"].map(|key| (key.to_owned(), of_bytes(LARGEST_ANSWERS / 2 + 1)));
        assert_eq!(taken(halves), None, "together");
        let keyed = |key: &str, answer: &str| [(key.to_owned(), answer.to_owned())];
        let longest = "k".repeat(LONGEST_KEY);
        assert_eq!(taken(keyed(&longest, "{}")), Some(1));
        assert_eq!(taken(keyed(&format!("{longest}k"), "{}")), Some(0));
        assert_eq!(taken(keyed("a", "[]")), None);
        assert_eq!(taken(keyed("a", r#"{"x":"\ud83d"}"#)), None);
    }
}
