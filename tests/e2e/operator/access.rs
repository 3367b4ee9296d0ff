//! `taskferry access`: keys, access files and owners, from the command line.

use taskferry_testing::command;

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command("taskferry")
        .arg("access")
        .args(arguments)
        .output()
        .unwrap();
    let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out.trim().to_owned(), error)
}

#[test]
fn a_new_key_comes_with_its_entry_and_the_file_is_checked() {
    let (code, key, entry) = run(&["new-key", "ci \"1\""]);
    assert_eq!(code, Some(0));
    assert!(key.starts_with("tfk_") && !entry.contains(&key), "{entry}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.toml");
    let path = file.to_str().unwrap();
    std::fs::write(
        &file,
        format!("resource = 'https://a.example/mcp'\n{entry}"),
    )
    .unwrap();
    let (code, told, _) = run(&["check", path]);
    assert_eq!(
        (code, told.as_str()),
        (
            Some(0),
            "ok: https://a.example/mcp; issuers: none; keys: ci \"1\""
        )
    );
    std::fs::write(&file, "resource = 'http://a.example/mcp'").unwrap();
    let (code, _, problems) = run(&["check", path]);
    assert_eq!(code, Some(1));
    assert_eq!(problems.lines().count(), 2, "{problems}");
    let (code, _, problem) = run(&["check", "/nowhere"]);
    assert_eq!(code, Some(1));
    assert!(problem.contains("/nowhere cannot be read"), "{problem}");
}

#[test]
fn an_owner_is_told_for_a_subject_and_for_a_key() {
    let subject = [
        "owner",
        "--issuer",
        "https://a.example",
        "--subject",
        "alice",
    ];
    let (_, alice, _) = run(&subject);
    let (_, with_client, _) = run(&[&subject[..], &["--client", "c"]].concat());
    let (_, key, _) = run(&["owner", "--key", "alice"]);
    for owner in [&alice, &with_client, &key] {
        assert!(owner.starts_with("u_") && owner.len() == 24, "{owner}");
    }
    assert!(alice != with_client && alice != key && with_client != key);
    let (code, _, _) = run(&["owner"]);
    assert_eq!(code, Some(2));
}
