//! Questions of a tool that is tried, and who answers them.

use serde_json::{Value, json};

use super::{Desk, Said};

/// Asks two questions, and says what it was told.
const ASKS: &str = "read -r arguments; echo '::ask a elicitation {\"message\":\"Go on?\",\"requestedSchema\":{\"type\":\"object\"}}' >&2
    echo '::ask b roots' >&2; read -r first; read -r second; echo \"$first\"; echo \"$second\"";

fn told(said: &Said) -> Vec<Value> {
    let mut told: Vec<Value> = said
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    told.sort_by_key(|answer| answer["key"].to_string());
    told
}

#[test]
fn questions_are_answered_by_flags_and_then_by_lines() {
    let desk = Desk::of_script("asks = true\noutput = 'text'", ASKS);
    let accepted = json!({ "key": "a", "result": { "action": "accept", "content": { "n": 1 } } });
    let roots = json!({ "key": "b", "result": { "roots": [] } });
    let flags = [
        "--answer",
        r#"a=accept {"n":1}"#,
        "--answer",
        r#"b={"roots":[]}"#,
    ];
    let said = desk.try_it(&flags);
    assert_eq!(told(&said), [accepted.clone(), roots.clone()], "{said:?}");
    said.has("question a {\"method\":\"elicitation/create\"");
    let said = desk.try_with_input(
        "what\n{\"roots\":[]}\n",
        &["--answer", r#"a=accept {"n":1}"#],
    );
    assert_eq!(told(&said), [accepted, roots], "{said:?}");
    said.has("this is no answer");
    let said = desk.try_it(&["--answer", "a=decline"]);
    let told = told(&said);
    assert_eq!(told[0]["result"]["action"], "decline");
    assert_eq!(told[1]["error"]["reason"], "client");
    said.has("nobody answers b");
    for answer in ["a", "a b=accept", "a=perhaps"] {
        let said = desk.try_it(&["--answer", answer]);
        assert_eq!(said.code, Some(2), "{said:?}");
        said.has("--answer");
    }
}

#[test]
fn a_client_that_declares_nothing_is_asked_nothing() {
    let desk = Desk::of_script("asks = true\noutput = 'text'", ASKS);
    let said = desk.try_it(&["--capabilities", "{}"]);
    for answer in told(&said) {
        assert_eq!(answer["error"]["reason"], "not_declared", "{said:?}");
    }
    assert!(!said.stderr.contains("question"), "{said:?}");
    assert_eq!(desk.try_it(&["--capabilities", "[]"]).code, Some(2));
}

#[test]
fn a_command_that_parks_runs_again_with_its_answers() {
    let script =
        "if [ \"$TASKFERRY_ANSWERS\" = '{}' ]; then echo '::ask sure roots' >&2; exit 76; fi
        echo \"attempt $TASKFERRY_ATTEMPT: $TASKFERRY_ANSWERS\"";
    let desk = Desk::of_script("asks = true", script);
    let expected = r#"attempt 2: {"sure":{"result":{"roots":[]}}}"#;
    let said = desk.try_with_input("{\"roots\":[]}\n", &[]);
    assert_eq!(said.text(), expected, "{said:?}");
    said.has("parked");
    assert_eq!(
        desk.try_it(&["--answer", r#"sure={"roots":[]}"#]).text(),
        expected
    );
    let nothing_asked = Desk::of_script("asks = true", "exit 76").try_it(&[]);
    assert_eq!(nothing_asked.code, Some(1), "{nothing_asked:?}");
    assert!(
        nothing_asked.text().contains("exit code 76"),
        "{nothing_asked:?}"
    );
}

#[test]
fn what_is_asked_first_is_answered_before_the_command_runs() {
    let first = "[[tool.ask_first]]\nkey = 'sure'\nmethod = 'elicitation'\nparams = { message = 'Empty it?', requestedSchema = { type = 'object', properties = {} } }";
    let desk = Desk::of_script(first, "echo \"$TASKFERRY_ATTEMPT $TASKFERRY_ANSWERS\"");
    let said = desk.try_with_input("accept\n", &[]);
    let expected = r#"1 {"sure":{"result":{"action":"accept","content":{}}}}"#;
    assert_eq!(said.text(), expected, "{said:?}");
    said.has("question sure");
    assert_eq!(desk.try_it(&["--capabilities", "{}"]).text(), "1 {}");
}
