//! Which schemas are admitted, and what one costs. A schema may come from anyone who can write to Redis; it is compiled in
//! every front end, and applied to whatever callers send.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::LONGEST_REASON;
use super::patterns;
use super::work::Costs;
use crate::text::{cut, quoted};

/// The longest schema, bytes of JSON.
const LONGEST: usize = 64 << 10;
/// The most subschemas.
const MOST_SUBSCHEMAS: usize = 2_000;
/// The most references.
const MOST_REFERENCES: usize = 500;
/// The most patterns, and the longest of them, bytes.
const MOST_PATTERNS: usize = 64;
const LONGEST_PATTERN: usize = 1_000;
/// The most subschemas if a copy stands in the place of each reference, but for those that lead back to where they stand.
const MOST_APPLIED: u64 = 10_000;
/// The most subschemas, one in the other or by reference, that hold for the same value: each takes some of the stack, at every
/// level of a value.
const LONGEST_LINE: usize = 12;

/// Keywords whose value is a subschema, an array or a map of such, for the value itself.
const IN_PLACE: [&str; 9] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependencies",
];
/// The same for what the value holds.
const INSIDE: [&str; 11] = [
    "properties",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "contentSchema",
];
/// The same for what is applied only where something refers to it.
const APART: [&str; 2] = ["$defs", "definitions"];
/// Those of them whose value is a map by names of any kind.
const MAPS: [&str; 6] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "dependencies",
    "$defs",
    "definitions",
];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// A subschema.
#[derive(Debug)]
struct Node<'a> {
    /// A JSON Pointer to it.
    place: String,
    schema: &'a Map<String, Value>,
    /// Others that hold for the same value, and those for what it holds.
    in_place: Vec<usize>,
    inside: Vec<usize>,
}

/// All subschemas of a schema that were met.
#[derive(Debug, Default)]
struct Graph<'a> {
    nodes: Vec<Node<'a>>,
    known: HashMap<String, usize>,
    anchors: HashMap<&'a str, usize>,
    references: usize,
    /// What the keyword of an identifier is called.
    id: &'static str,
    /// Whether texts are held to formats and media types, as drafts before 2019-09 have it.
    has_formats: bool,
}

/// What a schema costs.
///
/// # Errors
///
/// Why it is not admitted: where, what is there, and what may be.
pub(super) fn admit(root: &Value, bytes: usize) -> Result<Costs, String> {
    if bytes > LONGEST {
        return Err(format!(
            "it has {bytes} bytes, and a schema has at most {LONGEST}; leave out descriptions, or let several places refer to one in $defs"
        ));
    }
    let mut graph = Graph {
        id: if is_draft(root, &["draft-04"]) {
            "id"
        } else {
            "$id"
        },
        has_formats: is_draft(root, &["draft-04", "draft-06", "draft-07"]),
        ..Graph::default()
    };
    graph.add(root, String::new())?;
    let mut next = 0;
    while next < graph.nodes.len() {
        graph.add_parts(next)?;
        next += 1;
    }
    graph.follow(root)?;
    graph.costs()
}

/// Whether a schema says that it is of one of these drafts.
fn is_draft(root: &Value, drafts: &[&str]) -> bool {
    let named = root.get("$schema").and_then(Value::as_str);
    named.is_some_and(|named| drafts.iter().any(|draft| named.contains(draft)))
}

impl<'a> Graph<'a> {
    /// Notes a subschema; one that is `true` or `false` costs nothing.
    fn add(&mut self, schema: &'a Value, place: String) -> Result<Option<usize>, String> {
        if let Some(known) = self.known.get(&place) {
            return Ok(Some(*known));
        }
        let Some(schema) = schema.as_object() else {
            return Ok(None);
        };
        let number = self.nodes.len();
        if number == MOST_SUBSCHEMAS {
            return Err(format!(
                "it has more than {MOST_SUBSCHEMAS} subschemas; have fewer, or let several places refer to one in $defs"
            ));
        }
        for name in ["$anchor", "$dynamicAnchor"] {
            if let Some(anchor) = schema.get(name).and_then(Value::as_str) {
                self.anchors.entry(anchor).or_insert(number);
            }
        }
        if let Some(id) = schema.get(self.id).and_then(Value::as_str) {
            match id.strip_prefix('#') {
                Some(anchor) => {
                    self.anchors.entry(anchor).or_insert(number);
                }
                None if place.is_empty() => {}
                None => {
                    return Err(format!(
                        "{}/{}: a part of a schema has no identifier of its own, as references in there would count from it; remove {}",
                        shown(&place),
                        self.id,
                        quoted(id)
                    ));
                }
            }
        }
        self.known.insert(place.clone(), number);
        self.nodes.push(Node {
            place,
            schema,
            in_place: Vec::new(),
            inside: Vec::new(),
        });
        Ok(Some(number))
    }

    /// Notes the subschemas that stand in one.
    fn add_parts(&mut self, number: usize) -> Result<(), String> {
        let Some(node) = self.nodes.get(number) else {
            return Ok(());
        };
        let (schema, place) = (node.schema, node.place.clone());
        for (keyword, value) in schema {
            let keyword = keyword.as_str();
            let kinds = [&IN_PLACE[..], &INSIDE, &APART];
            let Some(kind) = kinds.iter().position(|kind| kind.contains(&keyword)) else {
                continue;
            };
            let at = format!("{place}/{keyword}");
            let parts: Vec<(String, &'a Value)> = match value {
                Value::Object(map) if MAPS.contains(&keyword) => map
                    .iter()
                    .map(|(name, part)| (format!("{at}/{}", escaped(name)), part))
                    .collect(),
                Value::Array(parts) => parts
                    .iter()
                    .enumerate()
                    .map(|(index, part)| (format!("{at}/{index}"), part))
                    .collect(),
                part => vec![(at, part)],
            };
            for (at, part) in parts {
                if let Some(part) = self.add(part, at)? {
                    self.note(number, part, kind);
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, from: usize, to: usize, kind: usize) {
        if let Some(node) = self.nodes.get_mut(from) {
            match kind {
                0 => node.in_place.push(to),
                1 => node.inside.push(to),
                _ => {}
            }
        }
    }

    /// Notes where references lead; what they lead to counts as a subschema.
    fn follow(&mut self, root: &'a Value) -> Result<(), String> {
        let mut next = 0;
        while let Some(node) = self.nodes.get(next) {
            let schema = node.schema;
            for keyword in REFERENCES {
                let Some(reference) = schema.get(keyword).and_then(Value::as_str) else {
                    continue;
                };
                self.references += 1;
                if self.references > MOST_REFERENCES {
                    return Err(format!("it has more than {MOST_REFERENCES} references"));
                }
                let at = self.nodes.get(next).map_or("", |node| &node.place);
                let at = format!("{}/{keyword}", shown(at));
                let target = self.target(root, reference, &at)?;
                for to in target {
                    self.note(next, to, 0);
                }
            }
            next += 1;
        }
        Ok(())
    }

    fn target(&mut self, root: &'a Value, reference: &str, at: &str) -> Result<Vec<usize>, String> {
        let Some(fragment) = reference.strip_prefix('#') else {
            return Err(format!(
                "{at}: {} leads out of the schema; copy what is there into $defs, and write #/$defs/NAME",
                quoted(reference)
            ));
        };
        if let Some(anchor) = self.anchors.get(fragment) {
            return Ok(vec![*anchor]);
        }
        let pointer = unescaped(fragment);
        let Some(part) = root.pointer(&pointer) else {
            return Err(format!(
                "{at}: there is nothing at {} in the schema",
                quoted(reference)
            ));
        };
        let before = self.nodes.len();
        let added = self.add(part, pointer)?;
        let mut next = before;
        while next < self.nodes.len() {
            self.add_parts(next)?;
            next += 1;
        }
        Ok(added.into_iter().collect())
    }

    fn costs(&self) -> Result<Costs, String> {
        self.check_patterns()?;
        let mut weights = Weights {
            graph: self,
            of: vec![Known::Nothing; self.nodes.len()],
            recursive: Vec::new(),
        };
        let costs = weights.all()?;
        if costs.applied > MOST_APPLIED {
            return Err(format!(
                "with its references replaced by what they lead to it has more than {MOST_APPLIED} subschemas; refer to the same subschema less often"
            ));
        }
        Ok(costs)
    }

    fn check_patterns(&self) -> Result<(), String> {
        let mut count = 0;
        for node in &self.nodes {
            for pattern in patterns_of(node.schema) {
                if pattern.len() > LONGEST_PATTERN {
                    return Err(format!(
                        "{}: a pattern has at most {LONGEST_PATTERN} bytes, and one here has {}",
                        shown(&node.place),
                        pattern.len()
                    ));
                }
                count += 1;
            }
        }
        if count > MOST_PATTERNS {
            return Err(format!(
                "it has {count} patterns, and a schema has at most {MOST_PATTERNS}"
            ));
        }
        Ok(())
    }
}

/// The patterns that a subschema holds a value to, or the names in it.
fn patterns_of(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let own = schema.get("pattern").and_then(Value::as_str);
    let names = schema.get("patternProperties");
    let names = names.and_then(Value::as_object);
    let names = names.into_iter().flat_map(Map::keys).map(String::as_str);
    own.into_iter().chain(names)
}

#[derive(Debug, Clone, Copy)]
enum Known {
    Nothing,
    /// It is being weighed.
    Open,
    Weight(Weight),
}

/// How much a subschema is, with a copy in the place of each reference.
#[derive(Debug, Clone, Copy)]
struct Weight {
    costs: Costs,
    /// How many, one in the other, hold for the same value.
    line: usize,
}

impl Weight {
    /// That of a subschema which is weighed by itself.
    const APART: Self = Self {
        costs: Costs::of_subschemas(1),
        line: 1,
    };
}

struct Weights<'g, 'a> {
    graph: &'g Graph<'a>,
    of: Vec<Known>,
    /// Those that lead back to themselves: their result for a value is kept, so each counts once more, by itself.
    recursive: Vec<usize>,
}

impl Weights<'_, '_> {
    /// All subschemas that a value and what it holds may be held to.
    fn all(&mut self) -> Result<Costs, String> {
        let mut all = self.weigh(0, &mut Vec::new())?.costs;
        let mut next = 0;
        while let Some(recursive) = self.recursive.get(next).copied() {
            let weight = self.weigh(recursive, &mut Vec::new())?;
            all.add(weight.costs);
            next += 1;
        }
        Ok(all)
    }

    /// `line` has those that hold for the same value as this one and led here.
    fn weigh(&mut self, number: usize, line: &mut Vec<usize>) -> Result<Weight, String> {
        let Some(node) = self.graph.nodes.get(number) else {
            return Ok(Weight::APART);
        };
        if line.contains(&number) {
            return Err(format!(
                "{}: it refers to itself for the same value, so it says nothing; let it do so inside of properties or items",
                shown(&node.place)
            ));
        }
        match self.of.get(number) {
            Some(Known::Weight(weight)) => return Ok(*weight),
            Some(Known::Open) => {
                if !self.recursive.contains(&number) {
                    self.recursive.push(number);
                }
                return Ok(Weight::APART);
            }
            _ => {}
        }
        self.set(number, Known::Open);
        let mut weight = Weight {
            costs: own_costs(node.schema, self.graph.has_formats),
            line: 1,
        };
        // What is unevaluated is found by another look at them.
        let looks = if looks_twice(node.schema) { 2 } else { 1 };
        line.push(number);
        for part in &node.in_place {
            let part = self.weigh(*part, line)?;
            weight.line = weight.line.max(part.line + 1);
            (0..looks).for_each(|_| weight.costs.add(part.costs));
        }
        line.pop();
        if weight.line > LONGEST_LINE {
            return Err(format!(
                "{}: more than {LONGEST_LINE} subschemas, one in the other or by reference, hold for the same value; have fewer in between",
                shown(&node.place)
            ));
        }
        for part in &node.inside {
            let part = self.weigh(*part, &mut Vec::new())?;
            weight.costs.add(part.costs);
        }
        self.set(number, Known::Weight(weight));
        Ok(weight)
    }

    fn set(&mut self, number: usize, known: Known) {
        if let Some(of) = self.of.get_mut(number) {
            *of = known;
        }
    }
}

fn looks_twice(schema: &Map<String, Value>) -> bool {
    schema.contains_key("unevaluatedProperties") || schema.contains_key("unevaluatedItems")
}

/// One subschema, more for what a value is compared with one by one, and what it does with texts.
fn own_costs(schema: &Map<String, Value>, has_formats: bool) -> Costs {
    let items = |name: &str| {
        schema
            .get(name)
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
    };
    let compared = items("enum") + items("required");
    let unique = u64::from(schema.get("uniqueItems") == Some(&Value::Bool(true)));
    let mut costs = Costs::of_subschemas(1 + compared as u64 / 8 + unique * 8);
    let names = schema.contains_key("patternProperties");
    for pattern in patterns_of(schema) {
        // What fits no pattern is looked for by another look at them.
        let looks = if names { 2 } else { 1 };
        for part in patterns::costs(pattern) {
            (0..looks).for_each(|_| costs.add(Costs::of_pattern(part)));
        }
    }
    for keyword in REFERENCES {
        if schema.contains_key(keyword) {
            costs.add(Costs::of_reference());
        }
    }
    if has_formats {
        costs.add(of_formats(schema));
    }
    costs
}

/// What it takes to hold texts to a format, or to read what is in them.
fn of_formats(schema: &Map<String, Value>) -> Costs {
    let mut costs = Costs::default();
    match schema.get("format").and_then(Value::as_str) {
        Some("regex") => costs.add(Costs::of_reading(16)),
        Some(_) => costs.add(Costs::of_reading(1)),
        None => {}
    }
    for content in ["contentMediaType", "contentEncoding"] {
        if schema.contains_key(content) {
            costs.add(Costs::of_reading(6));
        }
    }
    costs
}

/// A place for a message.
fn shown(place: &str) -> String {
    cut(place, LONGEST_REASON / 4).into_owned()
}

/// A name in a JSON Pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A URI fragment as the JSON Pointer that it is.
fn unescaped(fragment: &str) -> String {
    let mut parts = fragment.split('%');
    let mut read = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        match (code, part.get(2..)) {
            (Some(code), Some(rest)) => {
                read.push(code);
                read.extend_from_slice(rest.as_bytes());
            }
            _ => {
                read.push(b'%');
                read.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8(read).unwrap_or_else(|_not_text| fragment.to_owned())
}
