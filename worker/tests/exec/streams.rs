use std::fs;

use serde_json::json;
use taskferry_testing::eventually;
use taskferry_worker::exec::stderr::ProgressLine;
use taskferry_worker::exec::{ExecEvent, LogLevel, OutputMode};
use tokio::task::JoinSet;

use crate::support::{Case, LONG, text_of};

fn progress(number: f64, total: Option<f64>, message: Option<&str>) -> ExecEvent {
    ExecEvent::Progress(ProgressLine {
        progress: number,
        total,
        message: message.map(str::to_owned),
    })
}

#[tokio::test]
async fn reports_arrive_while_the_command_runs() {
    let mut case = Case::sh(
        "echo '::progress 40/100 reading' >&2
         until [ -e go ]; do sleep 0.01; done
         echo '::message almost' >&2
         until [ -e on ]; do sleep 0.01; done
         echo '::log warning disk is slow' >&2
         echo plain >&2; echo ok",
    );
    let mut runs = JoinSet::new();
    runs.spawn(case.run());
    let first = case.events.recv().await.unwrap();
    assert_eq!(first, progress(40.0, Some(100.0), Some("reading")));
    fs::write(case.path("go"), "").unwrap();
    assert_eq!(
        case.events.recv().await.unwrap(),
        ExecEvent::Message("almost".into())
    );
    fs::write(case.path("on"), "").unwrap();
    let log = ExecEvent::Log {
        level: LogLevel::Warning,
        text: "disk is slow".into(),
    };
    assert_eq!(case.events.recv().await.unwrap(), log);
    runs.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_report_without_line_end_counts() {
    let mut case = Case::sh("printf '::progress 0.5' >&2");
    case.text().await;
    assert_eq!(case.events.recv().await.unwrap(), progress(0.5, None, None));
}

#[tokio::test]
async fn of_progress_the_newest_wins() {
    let mut case =
        Case::sh("for i in $(seq 500); do echo ::progress $i/500 >&2; done; touch wrote");
    case.event_room(1);
    let mut runs = JoinSet::new();
    runs.spawn(case.run());
    eventually(LONG, "it wrote", async || case.path("wrote").exists()).await;
    let last = progress(500.0, Some(500.0), None);
    while case.events.recv().await.unwrap() != last {}
    runs.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_flood_of_stderr_never_blocks_the_command() {
    let mut case = Case::python(
        "import sys
for i in range(20000):
    sys.stderr.write('::log info ' + 'x' * 500 + '\\n::progress %d\\n' % i)
sys.stderr.write('y' * 5000000)
print('done')",
    );
    case.event_room(1);
    assert_eq!(case.text().await, "done");
}

#[tokio::test]
async fn a_progress_bar_hides_no_error() {
    let bar = r"printf 'opening\n' >&2; for i in $(seq 100); do printf '\r%d%%' $i >&2; done";
    let case = Case::sh(&format!(r"{bar}; printf '\r\nno space left\n' >&2; exit 1"));
    assert_eq!(case.error().await, "opening\n100%\nno space left");
    // Without a line end anywhere, and longer than a line.
    let case = Case::python(
        "import sys
sys.stderr.write('\\r'.join('x' * 100 + str(i) for i in range(1000)) + '\\rno space left')
sys.exit(1)",
    );
    assert_eq!(case.error().await, "no space left");
    let case =
        Case::python("import sys; sys.stderr.write('.' * 100000 + 'no space left'); sys.exit(1)");
    let result = case.result().await;
    assert!(result.summary.as_ref().unwrap().ends_with("no space left"));
    assert!(text_of(&result).ends_with("no space left"));
}

#[tokio::test]
async fn reports_may_be_written_over_each_other() {
    let mut case = Case::sh(r"printf '::progress 1/2\r::progress 2/2\rplain\r' >&2; exit 1");
    assert_eq!(case.error().await, "plain");
    for number in [1.0, 2.0] {
        let event = case.events.recv().await.unwrap();
        assert_eq!(event, progress(number, Some(2.0), None));
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_changes_nothing() {
    let mut case = Case::sh("for i in $(seq 100); do echo ::progress $i >&2; done; echo done");
    case.events.close();
    assert_eq!(case.text().await, "done");
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_replaced() {
    assert_eq!(Case::sh(r"printf 'a\377b'").text().await, "a\u{FFFD}b");
    assert_eq!(
        Case::sh(r"printf 'a\377b' >&2; exit 1").error().await,
        "a\u{FFFD}b"
    );
    let mut case = Case::sh(r#"printf '{"a":"\377"}'"#);
    case.command.output = OutputMode::Json;
    assert!(case.error().await.contains("not a JSON object"));
}

#[tokio::test]
async fn a_command_may_close_its_output_and_go_on() {
    let script = "echo early; exec >&- 2>&-; for i in 1 2 3 4 5; do sleep 0.02; done; touch end";
    let case = Case::sh(script);
    assert_eq!(case.text().await, "early");
    assert!(case.path("end").exists());
    let case = Case::sh(&format!("{script}; exit 4"));
    assert_eq!(case.error().await, "early");
}

#[tokio::test]
async fn a_command_need_not_read_its_input() {
    for script in ["echo ok", "exec <&-; echo ok", "sleep 0.1; echo ok"] {
        let mut case = Case::sh(script);
        case.arguments = json!({"x": "x".repeat(1 << 20)}).to_string();
        assert_eq!(case.text().await, "ok", "{script}");
    }
}

#[tokio::test]
async fn input_and_output_flow_at_the_same_time() {
    let mut case = Case::new(&["cat"]);
    case.command.output = OutputMode::Text;
    case.arguments = json!({"x": "x".repeat(3 << 20)}).to_string();
    assert_eq!(case.text().await, case.arguments);
}
