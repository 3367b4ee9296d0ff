//! Parts of a schema as validators of their own, made when a walk first needs them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Registry, Validator};
use serde_json::{Value, json};

use super::{Schema, options};

/// The name of a schema among those that its parts can refer to.
const ROOT: &str = "urn:taskferry:schema";
/// How much schema, in values that it holds, is compiled for the parts of one schema. A part that refers to others counts
/// as the whole.
const MOST_COMPILED: usize = 100_000;

/// The parts that were made so far.
#[derive(Debug, Default)]
pub(super) struct Parts(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    /// `None` for what cannot be compiled on its own.
    validators: HashMap<String, Option<Arc<Validator>>>,
    compiled: usize,
}

impl Schema {
    /// The subschema at a pointer, as a URI fragment writes it. `None` if there is none.
    pub(super) fn part(&self, pointer: &str, schema: &Value) -> Option<Arc<Validator>> {
        let size = || {
            let reached = if refers(schema) { &self.root } else { schema };
            weight(reached)
        };
        self.parts.get(pointer, size, || {
            let registry = Registry::new()
                .draft(self.validator.draft())
                .add(ROOT, &self.root)
                .ok()?
                .prepare()
                .ok()?;
            let reference = json!({ "$ref": format!("{ROOT}#{pointer}") });
            let options = options().with_draft(self.validator.draft());
            options.with_registry(&registry).build(&reference).ok()
        })
    }

    /// A schema that refers to nothing, made from keywords at a pointer; `what` tells it from others made there.
    pub(super) fn own_part(
        &self,
        (pointer, what): (&str, &str),
        make: impl FnOnce() -> Value,
    ) -> Option<Arc<Validator>> {
        self.parts.get(
            &format!("{what} {pointer}"),
            || 1,
            || {
                let options = options().with_draft(self.validator.draft());
                options.build(&make()).ok()
            },
        )
    }
}

impl Parts {
    fn get(
        &self,
        name: &str,
        size: impl FnOnce() -> usize,
        make: impl FnOnce() -> Option<Validator>,
    ) -> Option<Arc<Validator>> {
        {
            let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = made.validators.get(name) {
                return known.clone();
            }
            made.compiled = made.compiled.saturating_add(size());
            if made.compiled > MOST_COMPILED {
                return None;
            }
        }
        let validator = make().map(Arc::new);
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.validators.insert(name.to_owned(), validator.clone());
        validator
    }
}

/// Whether anything in a schema may lead out of it.
fn refers(schema: &Value) -> bool {
    const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
    match schema {
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| REFERENCES.contains(&name.as_str()) || refers(value)),
        Value::Array(items) => items.iter().any(refers),
        _ => false,
    }
}

/// How many values a value holds, itself included.
fn weight(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(weight).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        _ => 1,
    }
}
