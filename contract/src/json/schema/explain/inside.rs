//! Keywords that say what a value holds: the members of an object, the items of an array.

use serde_json::{Map, Value, json};

use super::{Found, Spot, Step, Unknown, Walk};
use crate::json::schema::place::{Place, fragment};
use crate::text::quoted;

impl<'a> Walk<'a> {
    pub(super) fn members(
        &mut self,
        spot: &Spot<'a>,
        keywords: &'a Map<String, Value>,
        members: &'a Map<String, Value>,
    ) -> Step<'a> {
        let properties = keywords.get("properties").and_then(Value::as_object);
        let named = properties
            .into_iter()
            .flatten()
            .filter_map(|(name, schema)| {
                let tail = format!("properties/{}", fragment(name));
                Some(spot.member(&tail, schema, (name, members.get(name)?)))
            });
        if let Some(found) = self.first_unfit(named)? {
            return Ok(Some(found));
        }
        if let Some(found) = self.names(spot, keywords, members)? {
            return Ok(Some(found));
        }
        let mut others = Vec::new();
        for (name, value) in members {
            let known = properties.is_some_and(|properties| properties.contains_key(name));
            let matched = self.matching(spot, keywords, name)?;
            if !known && matched.is_empty() {
                others.push((name.as_str(), value));
            }
            let by_pattern = matched
                .into_iter()
                .map(|(tail, schema)| spot.member(&tail, schema, (name, value)));
            if let Some(found) = self.first_unfit(by_pattern)? {
                return Ok(Some(found));
            }
        }
        match keywords.get("additionalProperties") {
            Some(Value::Bool(false)) => Ok(unexpected(&others).map(Found::Fault)),
            Some(schema) => {
                let part = spot.part("additionalProperties", schema);
                let unfit = self.first_value(&part, others.into_iter())?;
                Ok(
                    unfit
                        .map(|one| Found::Deeper(spot.member("additionalProperties", schema, one))),
                )
            }
            None => Ok(None),
        }
    }

    /// What `propertyNames` refuses.
    fn names(
        &mut self,
        spot: &Spot<'a>,
        keywords: &'a Map<String, Value>,
        members: &Map<String, Value>,
    ) -> Step<'a> {
        let Some(schema) = keywords.get("propertyNames") else {
            return Ok(None);
        };
        for name in members.keys() {
            let value = Value::from(name.as_str());
            let part = spot.part("propertyNames", schema);
            let pointer = part.pointer;
            let fits = self.fits(&Spot {
                pointer,
                schema,
                value: &value,
                place: Place::default(),
            })?;
            if !fits {
                let name = quoted(name);
                let text = format!("the name {name} is not one that propertyNames allows");
                return Ok(Some(Found::Fault(text)));
            }
        }
        Ok(None)
    }

    /// The `patternProperties` that a name matches.
    fn matching(
        &mut self,
        spot: &Spot<'a>,
        keywords: &'a Map<String, Value>,
        name: &str,
    ) -> Result<Vec<(String, &'a Value)>, Unknown> {
        let patterns = keywords.get("patternProperties").and_then(Value::as_object);
        let mut matching = Vec::new();
        for (pattern, schema) in patterns.into_iter().flatten() {
            let name = Value::from(name);
            self.spend_on(&name)?;
            let tail = format!("patternProperties/{}", fragment(pattern));
            let pointer = format!("{}/{tail}", spot.pointer);
            let matches = self
                .schema
                .own_part((&pointer, "pattern"), || json!({ "pattern": pattern }))
                .ok_or(Unknown)?;
            if matches.is_valid(&name) {
                matching.push((tail, schema));
            }
        }
        Ok(matching)
    }

    pub(super) fn items(
        &mut self,
        spot: &Spot<'a>,
        keywords: &'a Map<String, Value>,
        items: &'a [Value],
    ) -> Step<'a> {
        // Before 2020-12, `items` may be the list, and `additionalItems` the rest.
        let (first, list, rest) = match keywords.get("items") {
            Some(Value::Array(list)) => ("items", Some(list), "additionalItems"),
            _ => {
                let list = keywords.get("prefixItems").and_then(Value::as_array);
                ("prefixItems", list, "items")
            }
        };
        let list: &[Value] = list.map_or(&[], Vec::as_slice);
        let by_place = list.iter().zip(items).enumerate();
        let found = self
            .first_unfit(by_place.map(|(i, (schema, item))| {
                spot.item(&format!("{first}/{i}"), schema, (i, item))
            }))?;
        if found.is_some() {
            return Ok(found);
        }
        let Some(schema) = keywords.get(rest) else {
            return Ok(None);
        };
        let others = items.iter().enumerate().skip(list.len());
        let unfit = self.first_value(&spot.part(rest, schema), others)?;
        Ok(unfit.map(|one| Found::Deeper(spot.item(rest, schema, one))))
    }
}

/// Names the first member that nothing allows.
fn unexpected(others: &[(&str, &Value)]) -> Option<String> {
    let (name, _) = others.first()?;
    let more = match others.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "it has the property {}{more}, which the schema does not allow",
        quoted(name)
    ))
}
