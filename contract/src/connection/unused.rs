//! Refuses parts of an address that the client library would ignore in silence, so that nobody uses another database or
//! user than they named.

/// What the options of a socket are.
const OF_A_SOCKET: [&str; 3] = ["db", "user", "pass"];
/// How many characters of an option's name a message shows.
const NAME_SHOWN: usize = 40;

/// Refuses an address with a part that is not used.
///
/// # Errors
///
/// What is not used, by name, and how it is written; never a value, which may be a password.
pub(super) fn refuse(text: &str) -> Result<(), String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(());
    };
    let is_socket = scheme.ends_with("unix");
    if let Some((_, behind)) = rest.split_once('#') {
        return Err(of_a_sign('#', "%23", is_socket, behind));
    }
    if is_socket && !rest.starts_with('/') {
        return Err(
            "names a host or a user before the path of its socket, which is not used: write unix:///path?user=NAME&pass=PASSWORD"
                .to_owned(),
        );
    }
    let Some((_, options)) = rest.split_once('?') else {
        return Ok(());
    };
    if !is_socket && options.contains('@') {
        return Err(of_a_sign('?', "%3F", is_socket, options));
    }
    let known: &[&str] = if is_socket { &OF_A_SOCKET } else { &[] };
    options_fit(options, known)
}

fn options_fit(options: &str, known: &[&str]) -> Result<(), String> {
    let mut seen = Vec::new();
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let name = option.split('=').next().unwrap_or_default();
        if seen.contains(&name) {
            return Err(format!("has ?{name}= twice"));
        }
        if known.contains(&name) {
            seen.push(name);
            continue;
        }
        let name: String = name.chars().take(NAME_SHOWN).collect();
        let instead = if known.is_empty() {
            "user, password and database are written as in redis://user:password@host:port/db"
        } else {
            "a socket has ?db=, ?user= and ?pass= alone, as in unix:///path?db=1&user=NAME&pass=PASSWORD"
        };
        return Err(format!(
            "has the option ?{}=, which is not used: {instead}",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// What is wrong with a character at which the client library stops to read an address.
fn of_a_sign(sign: char, escaped: &str, is_socket: bool, behind: &str) -> String {
    if is_socket || behind.contains('@') {
        format!(
            "has a {sign} within, and what follows one is not used: in a name, a path or a password write it as {escaped}"
        )
    } else {
        format!(
            "has a {sign}, and what follows one is not used: remove it, or write it as {escaped} in a password"
        )
    }
}
