//! Files of variables.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use taskferry_worker::exec::{CommandOutcome, StartError, User};

use crate::support::{Case, text_of};

/// What nothing but the command may have.
const PLANTED: &str = "pl4nted-t0ken";

/// Writes a file of variables, which its owner alone may read.
fn file(case: &Case, text: &str) -> PathBuf {
    let file = case.path("secret.env");
    fs::write(&file, text).expect("the folder is this test's own");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("so is the file");
    file
}

#[tokio::test]
async fn a_file_goes_before_what_is_inherited_and_after_what_the_manifest_says() {
    for supervised in [true, false] {
        let mut case = Case::sh("echo $A $B $C; printf %s \"$D\"; echo $TASKFERRY_TOOL");
        case.supervised = supervised;
        let names = ["A", "B", "C"].map(|name| (name.into(), "inherited".into()));
        case.inherited.extend(names);
        for name in ["A", "B", "C"] {
            case.command.env_pass.add(name);
        }
        let files = ["B=file\nC=file", "D=\"two\nlines \""].map(str::to_owned);
        for (number, text) in files.into_iter().enumerate() {
            let path = case.path(&number.to_string());
            fs::write(&path, text).unwrap();
            case.command.env_files.push(path);
        }
        case.command.env.set("C", "manifest");
        let expected = "inherited file manifest\ntwo\nlines the_tool";
        assert_eq!(case.text().await, expected);
    }
}

#[tokio::test]
async fn a_file_is_read_at_each_start_and_a_start_without_it_can_be_tried_again() {
    let mut case = Case::sh("echo ran $TOKEN");
    let path = file(&case, "TOKEN=one");
    case.command.env_files.push(path.clone());
    assert_eq!(case.text().await, "ran one");
    file(&case, "TOKEN=two");
    assert_eq!(case.text().await, "ran two");
    fs::remove_file(&path).unwrap();
    let wrong = format!("TOKEN=three\n{PLANTED}\n");
    for (text, why) in [
        (None, "cannot be read: No such file"),
        (Some(wrong), "line 2"),
    ] {
        if let Some(text) = text {
            file(&case, &text);
        }
        let error = case.run().await.unwrap_err();
        assert!(matches!(error, StartError::EnvFile(_)) && error.is_transient());
        let told = format!("{error} {error:?} {:?}", error.to_result());
        let path = path.display().to_string();
        assert!(told.contains(&path) && told.contains(why), "{told}");
        assert!(!told.contains(PLANTED), "{told}");
    }
    file(&case, "TOKEN=four");
    assert_eq!(case.text().await, "ran four");
}

#[tokio::test]
async fn what_a_file_says_is_on_no_command_line() {
    let mut case =
        Case::sh("cat /proc/$$/cmdline /proc/$PPID/cmdline | tr '\\0' ' '; echo ${#TOKEN}");
    case.command.env_files = vec![file(&case, &format!("TOKEN={PLANTED}"))];
    let told = case.text().await;
    assert!(
        told.contains("taskferry-supervisor") && told.ends_with("13"),
        "{told}"
    );
    assert!(!told.contains(PLANTED), "{told}");
}

#[tokio::test]
async fn a_sandbox_gives_the_command_its_variables_and_not_the_file() {
    let mut case = Case::sh("cat secret.env || echo closed; echo ${#TOKEN}");
    case.command.env_files = vec![file(&case, &format!("TOKEN={PLANTED}"))];
    fs::create_dir(case.path("in")).unwrap();
    case.command.sandbox.read = Some(vec![case.path("in")]);
    case.command.sandbox.required = true;
    match case.run().await {
        Ok(CommandOutcome::Completed(result)) => assert_eq!(text_of(&result), "closed\n13"),
        // Where the system cannot do it, `required` keeps the command from running without.
        Err(error) => assert!(error.to_string().contains("no Landlock"), "{error}"),
        Ok(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_user_needs_no_right_to_the_file() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut case = Case::sh("cat secret.env || echo closed; echo ${#TOKEN} $HOME");
    case.folder = tempfile::tempdir_in("/tmp").unwrap();
    case.command.cwd = case.folder.path().to_owned();
    fs::set_permissions(case.folder.path(), Permissions::from_mode(0o755)).unwrap();
    case.command.env_files = vec![file(&case, &format!("TOKEN={PLANTED}\nHOME=/elsewhere"))];
    case.command.sandbox.user = Some(User {
        name: "nobody".to_owned(),
        uid: 65_534,
        gid: 65_534,
        home: "/nonexistent".to_owned(),
    });
    assert_eq!(case.text().await, "closed\n13 /elsewhere");
}
