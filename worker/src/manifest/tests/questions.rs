//! What callers are asked first, and what a tool shows of itself.

use serde_json::json;

use super::{json_of, problem, tool, tools};

#[test]
fn reads_what_callers_are_asked_first() {
    let lines = r#"
        [[tool.ask_first]]
        key = "confirm"
        method = "elicitation"
        params = '{ "requestedSchema": {"type":"object"}, "message":"Go on?" }'
        [[tool.ask_first]]
        key = "folders"
        method = "roots/list"
        [[tool.ask_first]]
        key = "idea"
        method = "sampling"
        [tool.ask_first.params]
        maxTokens = 10
        messages = []
    "#;
    let tool = tools(&tool(lines)).remove(0);
    let asked = tool.ask_first.iter();
    let asked: Vec<_> = asked
        .map(|ask| (ask.key.as_str(), ask.method.as_str(), ask.params.get()))
        .collect();
    let confirm = r#"{ "requestedSchema": {"type":"object"}, "message":"Go on?" }"#;
    assert_eq!(
        asked,
        [
            ("confirm", "elicitation/create", confirm),
            ("folders", "roots/list", "{}"),
            (
                "idea",
                "sampling/createMessage",
                r#"{"maxTokens":10,"messages":[]}"#
            ),
        ]
    );
}

#[test]
fn a_question_that_no_client_could_be_asked_is_a_problem() {
    let first = |lines: &str| problem(&format!("[[tool.ask_first]]\n{lines}"));
    for (lines, wrong) in [
        ("method = 'roots'", "ask_first[0].key: is required"),
        ("key = 'a'", "ask_first[0].method: is required"),
        (
            "key = 1\nmethod = 'roots'",
            "ask_first[0].key: must be a string",
        ),
        (
            "key = 'a b'\nmethod = 'roots'",
            "ask_first[0].key: \"a b\" cannot be the key",
        ),
        (
            "key = 'a'\nmethod = 'root'",
            "ask_first[0].method: \"root\" is not a question: write elicitation, sampling or roots",
        ),
        (
            "key = 'a'\nmethod = 'elicitation'\nparams = { message = 'Go on?' }",
            "ask_first[0].params: requestedSchema is missing",
        ),
        (
            "key = 'a'\nmethod = 'roots'\nparams = 1",
            "ask_first[0].params: must be a table",
        ),
        (
            "key = 'a'\nmethod = 'roots'\nparam = {}",
            "ask_first[0].param: unknown key",
        ),
        (
            "key = 'a'\nmethod = 'roots'\n[[tool.ask_first]]\nkey = 'a'\nmethod = 'roots'",
            "ask_first[1].key: an earlier question has the key \"a\" too",
        ),
    ] {
        let problem = first(lines);
        assert!(problem.contains(wrong), "{problem}");
    }
    assert!(problem("ask_first = 'a'").contains("headed `[[ask_first]]`"));
    assert!(problem("asks = 'yes'").contains("must be true or false"));
}

#[test]
fn icons_are_checked() {
    let lines = r#"
        [[tool.icons]]
        src = "https://example.com/icon.png"
        mimeType = "image/png"
        sizes = ["48x48"]
        theme = "dark"
    "#;
    let tool = tools(&tool(lines)).remove(0);
    assert_eq!(
        json_of(&tool.icons.unwrap()),
        json!([{
            "src": "https://example.com/icon.png", "mimeType": "image/png", "sizes": ["48x48"], "theme": "dark",
        }])
    );
    for (icon, wrong) in [
        ("{ }", "icons[0].src: must be"),
        ("{ src = 'javascript:x' }", "icons[0].src: must be"),
        (
            "{ src = 'data:,x', sizes = '1x1' }",
            "icons[0].sizes: must be",
        ),
        (
            "{ src = 'data:,x', theme = 'red' }",
            "icons[0].theme: must be",
        ),
        (
            "{ src = 'data:,x', mimetype = 'a' }",
            "did you mean `mimeType`",
        ),
    ] {
        let problem = problem(&format!("icons = [{icon}]"));
        assert!(problem.contains(wrong), "{problem}");
    }
}
