//! A walk over JSON that `serde_json` has already found well-formed, so that nothing can go
//! wrong on the way. It sees what a deserializer hides: keys that come twice, how deep the
//! values nest, and numbers that no `f64` can hold.

use std::borrow::Cow;

/// What a walk notices beside the values.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Levels of objects and arrays, the outermost included.
    pub(super) depth: usize,
    /// Byte offset of the first number that overflows an `f64`.
    pub(super) overflow: Option<usize>,
}

impl Survey {
    /// Surveys a value of any kind.
    pub(super) fn of(value: &str) -> Self {
        let mut survey = Self::default();
        survey.value_end(value.as_bytes(), 0, 0);
        survey
    }

    /// Where the value ends that starts at `start`, inside `level` objects and arrays.
    fn value_end(&mut self, json: &[u8], start: usize, level: usize) -> usize {
        let (mut at, mut open) = (start, level);
        while let Some(&byte) = json.get(at) {
            match byte {
                b'"' => at = string_end(json, at),
                b'-' | b'0'..=b'9' => at = self.number_end(json, at),
                b'{' | b'[' => {
                    open += 1;
                    self.depth = self.depth.max(open);
                    at += 1;
                    continue;
                }
                b'}' | b']' => {
                    open = open.saturating_sub(1);
                    at += 1;
                }
                b't' | b'n' => at += "true".len(),
                b'f' => at += "false".len(),
                // White space, commas and colons, which stand inside only.
                _ => {
                    at += 1;
                    continue;
                }
            }
            if open <= level {
                return at.min(json.len());
            }
        }
        json.len()
    }

    fn number_end(&mut self, json: &[u8], start: usize) -> usize {
        let mut exponent = false;
        let mut end = start;
        while let Some(byte @ (b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) = json.get(end) {
            exponent |= byte.eq_ignore_ascii_case(&b'e');
            end += 1;
        }
        // Without an exponent it takes more than 308 digits to overflow.
        if (exponent || end - start > 308) && self.overflow.is_none() {
            let number = std::str::from_utf8(&json[start..end]).ok();
            let number = number.and_then(|text| text.parse::<f64>().ok());
            if number.is_none_or(f64::is_infinite) {
                self.overflow = Some(start);
            }
        }
        end
    }
}

/// Where the string ends, behind its closing quote, whose opening quote is at `start`.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

/// Calls `each` with every member of an object: its key as written between the quotes, and the
/// text of its value.
pub(super) fn members<'a>(
    object: &'a str,
    survey: &mut Survey,
    mut each: impl FnMut(&'a str, &'a str),
) {
    let json = object.as_bytes();
    survey.depth = survey.depth.max(1);
    let skip = |mut at: usize, stop: fn(u8) -> bool| {
        while json.get(at).is_some_and(|&byte| !stop(byte)) {
            at += 1;
        }
        at
    };
    let mut at = 1;
    loop {
        at = skip(at, |byte| matches!(byte, b'"' | b'}'));
        if json.get(at) != Some(&b'"') {
            return;
        }
        let key_end = string_end(json, at);
        let value = skip(key_end, |byte| !matches!(byte, b':' | b' ' | b'\t' | b'\n' | b'\r'));
        let value_end = survey.value_end(json, value, 1);
        each(&object[at + 1..key_end - 1], &object[value..value_end]);
        at = value_end;
    }
}

/// An object's members, sorted into those that are known by name and the rest.
pub(super) struct Known<'a, const N: usize> {
    /// The text of each value, in the order of the names asked for.
    pub(super) values: [Option<&'a str>; N],
    /// A key that is given more than once, known or not.
    pub(super) twice: Option<Cow<'a, str>>,
}

impl<'a, const N: usize> Known<'a, N> {
    /// Looks the names up in an object. Fastest where the members come in the order of `names`.
    pub(super) fn read(object: &'a str, names: &[&str; N], survey: &mut Survey) -> Self {
        let mut known = Self { values: [None; N], twice: None };
        let mut others: Vec<Cow<'a, str>> = Vec::new();
        let mut next = 0;
        members(object, survey, |key, value| {
            let key = unescaped(key);
            let ahead = names[next..].iter().position(|name| *name == key).map(|i| i + next);
            let Some(found) = ahead.or_else(|| names[..next].iter().position(|n| *n == key)) else {
                others.push(key);
                return;
            };
            next = found + 1;
            if known.values[found].replace(value).is_some() && known.twice.is_none() {
                known.twice = Some(key);
            }
        });
        if known.twice.is_none() && others.len() > 1 {
            // Sorted, because a hostile event can bring thousands of keys.
            others.sort_unstable();
            known.twice = others.windows(2).find(|w| w[0] == w[1]).map(|w| w[0].clone());
        }
        known
    }
}

/// A key without its escapes; one that cannot be text stays as written, and so unknown.
fn unescaped(key: &str) -> Cow<'_, str> {
    if !key.contains('\\') {
        return Cow::Borrowed(key);
    }
    serde_json::from_str(&format!("\"{key}\"")).map_or(Cow::Borrowed(key), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn members_are_found_whatever_the_layout() {
        let text = "{ \"a\" :1,\n\"b\\\"}\":[{\"x\":\"]}\\\\\"}, 2] ,\t\"\":\"\",\"c\":false}";
        let mut seen = Vec::new();
        let mut survey = Survey::default();
        members(text, &mut survey, |key, value| seen.push((key, value)));
        let expected =
            [("a", "1"), ("b\\\"}", "[{\"x\":\"]}\\\\\"}, 2]"), ("", "\"\""), ("c", "false")];
        assert_eq!(seen, expected);
        assert_eq!(survey, Survey { depth: 3, overflow: None });
    }

    #[test]
    fn numbers_overflow_by_value_not_by_look() {
        for fits in ["1e308", "-1.7976931348623157e308", "1e-999", "0e999", "12"] {
            assert_eq!(Survey::of(fits).overflow, None, "{fits}");
        }
        let long = "9".repeat(400);
        for overflows in ["1e309", "-1E+999", "2e308", long.as_str()] {
            assert_eq!(Survey::of(overflows).overflow, Some(0), "{overflows}");
        }
        assert_eq!(Survey::of("[\"1e999\", 1e999]").overflow, Some(10));
    }

    #[test]
    fn a_key_given_twice_is_seen_under_any_spelling() {
        let twice = |text| {
            let known = Known::read(text, &["a", "b"], &mut Survey::default());
            known.twice.map(Cow::into_owned)
        };
        assert_eq!(twice(r#"{"a":1,"b":2}"#), None);
        assert_eq!(twice(r#"{"b":1,"a":2,"\u0062":3}"#), Some("b".into()));
        assert_eq!(twice(r#"{"z":1,"y":2,"a":3,"z":4}"#), Some("z".into()));
        assert_eq!(twice(r#"{"z":{"a":1},"y":{"a":1},"a":3}"#), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\"\\\\{}\\[\\]:,]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn the_walk_sees_what_serde_json_sees(
            map in prop::collection::btree_map(any::<String>(), json(), 0..6),
            pretty: bool,
        ) {
            let value = Value::Object(map.into_iter().collect());
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let mut survey = Survey::default();
            let mut seen = serde_json::Map::new();
            members(&text, &mut survey, |key, member| {
                seen.insert(unescaped(key).into_owned(), serde_json::from_str(member).unwrap());
            });
            prop_assert_eq!(survey, Survey { depth: depth(&value), overflow: None });
            // Compared as text, because -0.0 and 0.0 are equal and floats may differ in form.
            let again: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(Value::Object(seen).to_string(), again.to_string());
        }
    }
}
