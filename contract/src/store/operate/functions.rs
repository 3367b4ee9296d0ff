//! The library of functions by which workers in other languages call the transitions.

use redis::Value;

use crate::error::Error;
use crate::library::LIBRARY;
use crate::model::library::{Installed, LIBRARY_PREFIX, Libraries, LibraryVersion, Replaces};
use crate::store::Store;

const LIST: &str = "FUNCTION LIST";
const LOAD: &str = "FUNCTION LOAD";

impl Store {
    /// Puts the library there, unless what is there is not to be replaced.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn install_functions(&self, replaces: Replaces) -> Result<Installed, Error> {
        let own = match self.list_libraries(&LIBRARY.name).await? {
            Libraries::Seen { own, .. } => own,
            Libraries::Hidden => return Ok(Installed::Forbidden(LIST)),
            Libraries::Unsupported => return Ok(Installed::Unsupported),
        };
        if let Some(Some(there)) = &own
            && is_kept(there, replaces)
        {
            return Ok(Installed::Kept(there.clone()));
        }
        let mut load = redis::cmd("FUNCTION");
        load.arg("LOAD").arg("REPLACE").arg(&LIBRARY.source);
        match self.connections.command::<String>(LOAD, &load).await {
            Ok(_name) => Ok(own.map_or(Installed::New, Installed::Replaced)),
            Err(error) if error.is_forbidden() => Ok(Installed::Forbidden(LOAD)),
            Err(error) if error.refusal_text().contains("already exists") => {
                let by = self.who_has_the_names().await?;
                Ok(Installed::NamesTaken { by })
            }
            Err(error) => Err(error),
        }
    }

    /// What there is of such libraries, as far as the user may see it.
    ///
    /// # Errors
    ///
    /// If Redis fails.
    pub async fn libraries(&self) -> Result<Libraries, Error> {
        let pattern = format!("{LIBRARY_PREFIX}*");
        match self.list_libraries(&pattern).await? {
            Libraries::Hidden => self.ask_the_library().await,
            seen => Ok(seen),
        }
    }

    async fn list_libraries(&self, pattern: &str) -> Result<Libraries, Error> {
        let mut list = redis::cmd("FUNCTION");
        list.arg("LIST").arg("LIBRARYNAME").arg(pattern);
        let listed = match self.connections.command::<Value>(LIST, &list).await {
            Ok(listed) => listed,
            Err(error) => return of_refusal(error),
        };
        let (mut own, mut others) = (None, Vec::new());
        for library in items(&listed) {
            let name = text(library, "library_name");
            if name == LIBRARY.name {
                own = Some(version_of(library));
            } else {
                others.push(name);
            }
        }
        Ok(Libraries::Seen { own, others })
    }

    /// Who may not see libraries may call one of their functions.
    async fn ask_the_library(&self) -> Result<Libraries, Error> {
        let mut call = redis::cmd("FCALL");
        call.arg(LIBRARY.version_function()).arg(0);
        let own = match self
            .connections
            .command::<Vec<String>>("FCALL", &call)
            .await
        {
            Ok(said) => match &said[..] {
                [_ok, contract, release, digest] => {
                    let version = format!("contract {contract}, release {release}, {digest}");
                    Some(version.parse().ok())
                }
                _ => Some(None),
            },
            Err(error) if error.refusal_text().contains("not found") => None,
            Err(error) => return of_refusal(error),
        };
        Ok(Libraries::Seen {
            own,
            others: Vec::new(),
        })
    }

    /// The library whose functions have the names of ours.
    async fn who_has_the_names(&self) -> Result<String, Error> {
        let mut list = redis::cmd("FUNCTION");
        list.arg("LIST");
        let listed: Value = self.connections.command(LIST, &list).await?;
        let has_ours = |library: &&Value| {
            let functions = field(library, "functions");
            let mut names = functions.into_iter().flat_map(items);
            let registered = |name: String| LIBRARY.source.contains(&format!("'{name}'"));
            names.any(|function| registered(text(function, "name")))
        };
        let others = items(&listed).filter(|library| text(library, "library_name") != LIBRARY.name);
        let found = others.into_iter().find(has_ours);
        Ok(found.map_or_else(String::new, |library| text(library, "library_name")))
    }
}

fn is_kept(there: &LibraryVersion, replaces: Replaces) -> bool {
    let own = &LIBRARY.version;
    match replaces {
        _ if there == own => true,
        Replaces::Older => !own.is_newer_than(there),
        Replaces::Same => there.is_newer_than(own),
        Replaces::Any => false,
    }
}

fn of_refusal(error: Error) -> Result<Libraries, Error> {
    let said = error.refusal_text().to_ascii_lowercase();
    if error.is_forbidden() {
        Ok(Libraries::Hidden)
    } else if said.starts_with("unknown command") || said.starts_with("unknown subcommand") {
        Ok(Libraries::Unsupported)
    } else {
        Err(error)
    }
}

/// What a library says of its version, as the description of one of its functions.
fn version_of(library: &Value) -> Option<LibraryVersion> {
    let functions = field(library, "functions")?;
    let function = items(functions).find(|it| text(it, "name") == LIBRARY.version_function())?;
    text(function, "description").parse().ok()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(items) | Value::Set(items) => items.iter(),
        _ => [].iter(),
    }
}

/// A field of a map, which older versions of the protocol send as a list of names and values.
fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let is_it = |key: &Value| matches!(key, Value::BulkString(bytes) if bytes == name.as_bytes());
    match map {
        Value::Map(pairs) => {
            let found = pairs.iter().find(|(key, _)| is_it(key))?;
            Some(&found.1)
        }
        Value::Array(words) => {
            let place = words.iter().step_by(2).position(is_it)?;
            words.get(place * 2 + 1)
        }
        _ => None,
    }
}

fn text(map: &Value, name: &str) -> String {
    match field(map, name) {
        Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Some(Value::SimpleString(text)) => text.clone(),
        _ => String::new(),
    }
}
