//! `check`: what a start would have, warn of, or refuse.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::Desk;

#[test]
fn check_lists_the_tools_that_a_start_would_have() {
    let desk = Desk::new(
        "[[tool]]\nname = 'print_label'\ndescription = 'd'\ncommand = ['sh', '-c', 'true']\nqueue = 'printers'\n\
         [[tool]]\nname = 'b'\ndescription = 'd'\ncommand = ['/bin/sh']\n\
         [[tool]]\nname = 'c'\ndescription = 'd'\ncommand = ['sh', '-eu', './run.sh', 'x']\n\
         [[tool]]\nname = 'd'\ndescription = 'd'\ncommand = ['./run.sh']",
    );
    let script = desk.folder.path().join("run.sh");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let said = desk.check(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let lines: Vec<&str> = said.stdout.lines().collect();
    let expected = [
        "TOOL         QUEUE     RUNS",
        "b            default   /bin/sh",
        "c            default   sh ./run.sh",
        &format!("d            default   {}", script.display()),
        "print_label  printers  sh",
    ];
    assert_eq!(lines, expected);
    // What a start would warn of is no reason against it.
    said.has("warning: drain_timeout is 5s, and timeout is up to 10m (b, c, d and 1 more)");
    let said = desk.check(&["--drain-timeout", "10m"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn check_warns_of_a_script_that_its_interpreter_would_not_find() {
    let desk = Desk::new(
        "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['python3', 'crunsh.py']\ntimeout = '1s'",
    );
    let said = desk.check(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.has("warning: tool \"t\": python3 is given `crunsh.py`, and there is no such file in ");
    let script = desk.folder.path().join("crunsh.py");
    std::fs::write(script, "").unwrap();
    let said = desk.check(&[]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn check_warns_of_calls_that_are_refused_and_of_variables_that_are_not_set() {
    let desk = Desk::new(
        "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['sort', '{file}', ['--key', '{key}']]\ntimeout = '1s'\nenv_pass = ['NO_SUCH_VARIABLE', 'PATH']\ninput_schema.type = 'object'",
    );
    let said = desk.check(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.has("warning: tool \"t\": calls in which `file`, `key` begins with `-` are refused");
    said.has("leading_dash = [\"file\"]");
    said.has("warning: tool \"t\": env_pass names NO_SUCH_VARIABLE, which is not set here");
    let tried = desk.try_it(&["--arguments", r#"{"file":"--output=x"}"#]);
    assert_eq!(tried.code, Some(1), "{tried:?}");
    assert!(tried.stdout.contains("the argument `file` begins with"));
}

#[test]
fn check_names_faults_of_the_manifest_and_of_commands_together() {
    let desk = Desk::new(
        "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['pythonn3', 'a.py']\nattempt = 2\n\
         [[tool]]\nname = 'u'\ndescription = 'd'\ncommand = ['true']\ntimeout = 'soon'",
    );
    let said = desk.check(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    for part in ["attempt: unknown key", "timeout: ", "`pythonn3`"] {
        said.has(part);
    }
    assert_eq!(said.stderr.matches("pythonn3").count(), 1, "{said:?}");
}

#[test]
fn check_names_what_no_front_end_would_list_beside_faults_of_the_manifest() {
    let desk = Desk::new(
        "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['true']\nttl = '1s'\nttl_min = '2s'\n\
         input_schema = '{\"type\":\"object\",\"$schema\":\"https://example.com/own\"}'\n\
         [[tool]]\nname = 'u'\ndescription = 'd'\ncommand = ['true']\n\
         output_schema = '{\"type\":\"object\",\"$ref\":\"#/$defs/none\"}'",
    );
    let said = desk.check(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    for part in [
        "ttl_min: ",
        "tool t cannot be used: input_schema: ",
        "tool u cannot be used: output_schema: /$ref: there is nothing at \"#/$defs/none\"",
    ] {
        said.has(part);
    }
    assert_eq!(said.stderr.matches("tool t cannot").count(), 1, "{said:?}");
    assert!(!said.stderr.contains("ttl.min_ms"), "{said:?}");
}

#[test]
fn check_names_every_fault_of_a_manifest_and_of_settings() {
    let desk = Desk::new("[[tool]]\nname = 'a b'\ncomand = ['x']\ntimeout = 'soon'");
    let said = desk.check(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    for part in [
        "name: ",
        "comand: unknown key",
        "command: is required",
        "timeout: ",
    ] {
        said.has(part);
    }
    let said = desk.check(&["--slots", "0", "--lease", "1h"]);
    assert_eq!(said.code, Some(2));
    said.has("--slots");
    said.has("--lease");
    let large = Desk::of_script("max_output = '20MiB'", "").check(&[]);
    assert_eq!(large.code, Some(2));
    large.has("tool t: max_output is 20MiB");
    let schema = Desk::new(
        "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['sh']\ninput_schema = { type = 'object', minProperties = 'x' }",
    );
    let said = schema.check(&[]);
    assert_eq!(said.code, Some(2));
    said.has("minProperties");
}

#[test]
fn check_names_every_command_that_cannot_be_started_here() {
    let desk = Desk::new(
        "[[tool]]\nname = 'well'\ndescription = 'd'\ncommand = ['true']\n\
         [[tool]]\nname = 'lost'\ndescription = 'd'\ncommand = ['no-such-program']\n\
         [[tool]]\nname = 'away'\ndescription = 'd'\ncommand = ['sh']\ncwd = 'no/such/folder'",
    );
    let said = desk.check(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    said.has("tool \"lost\": the command could not be started: `no-such-program`");
    said.has("tool \"away\": the command could not be started: its working directory");
    assert!(!said.stderr.contains("well"), "{said:?}");
    // A worker starts with them: the program may be mounted later.
    let tried = desk.worker("try", &["well"]).output().unwrap();
    assert!(tried.status.success(), "{tried:?}");
}

#[test]
fn check_says_what_each_queue_has_of_the_slots_and_refuses_a_queue_that_nobody_is_on() {
    let tools = "timeout = '1s'\nqueue = 'heavy'\n[[tool]]\nname = 'u'\ndescription = 'd'\ncommand = ['true']\ntimeout = '1s'";
    let of = |queues: &str| {
        let tool = "[[tool]]\nname = 't'\ndescription = 'd'\ncommand = ['true']";
        Desk::new(&format!("[queues]\n{queues}\n{tool}\n{tools}"))
    };
    let said = of("default = 3\nheavy = { slots = 2 }").check(&["--slots", "8"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(
        said.stderr,
        "taskferry-worker: note: default has 3 of 4 turns, heavy has 1 of 4 turns and at most 2 of 8 slots\n"
    );
    let desk = of("default = { slots = 1 }\nheavy = { slots = 2 }");
    let said = desk.check(&["--slots", "8"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.has("warning: slots is 8, and [queues] bounds every queue of this worker, to 3 slots together: 5 are never used");
    assert!(desk.try_it(&["--slots", "1"]).text().is_empty());
    let said = of("heavi = 2").check(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    said.has("[queues] heavi: no tool of this worker is on that queue; did you mean `heavy`?");
}

#[test]
fn check_reads_files_of_variables_and_warns_of_those_that_everybody_may_read() {
    let desk = Desk::of_script("env_file = 'secret.env'\ntimeout = '1s'", "run");
    let file = desk.folder.path().join("secret.env");
    let mode = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    let program = desk.folder.path().join("bin/run");
    std::fs::create_dir(desk.folder.path().join("bin")).unwrap();
    std::fs::write(&program, "#!/bin/sh\necho from the PATH of the file\n").unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let bin = desk.folder.path().join("bin").display().to_string();
    std::fs::write(&file, format!("PATH={bin}:/usr/bin:/bin\n")).unwrap();
    mode(0o644);
    let said = desk.check(&[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.has(&format!(
        "warning: env_file `{}` of t is secret, and every user of this machine may read the file: chmod o-r",
        file.display()
    ));
    mode(0o640);
    let said = desk.check(&[]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert_eq!(desk.try_it(&[]).text(), "from the PATH of the file");
    std::fs::write(&file, "PATH=/no/such\n").unwrap();
    let said = desk.check(&[]);
    assert_eq!(said.code, Some(2));
    said.has("tool \"t\": the command could not be started: `sh`");
    std::fs::write(&file, "s3cret\n").unwrap();
    let said = desk.check(&[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    said.has("tool \"t\": env_file: `secret.env` cannot be used: line 1 has no `=`");
    assert!(!said.stderr.contains("s3cret"), "{said:?}");
    assert_eq!(desk.try_it(&[]).code, Some(2));
}
