//! What a single value must be. Every check is given the text of a well-formed JSON value and
//! the path of its field for the rejection.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use url::Url;
use uuid::Uuid;

use super::object::{Known, Survey};
use super::rejection::Fault;

/// A path that is spelled out only where a fault needs it.
pub(super) type Path = &'static str;

/// A value that is there; `null` counts as absent.
pub(super) fn given(value: Option<&str>) -> Option<&str> {
    value.filter(|value| *value != "null")
}

/// A string, without its escapes.
pub(super) fn text<'a>(value: &'a str, path: Path) -> Result<Cow<'a, str>, Fault> {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else { return Err(wrong_type(value, "a string", path)) };
    unquoted(inner, path)
}

/// What stands between the quotes of a string, without its escapes.
fn unquoted<'a>(inner: &'a str, path: Path) -> Result<Cow<'a, str>, Fault> {
    if !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    // Well-formed, so the only thing that can be wrong with it is half a surrogate pair.
    serde_json::from_str(&format!("\"{inner}\""))
        .map(Cow::Owned)
        .map_err(|_| Fault::invalid(path, "holds a lone surrogate"))
}

/// A string of so many characters.
pub(super) fn sized_text<'a>(
    value: &'a str,
    size: RangeInclusive<usize>,
    path: Path,
) -> Result<Cow<'a, str>, Fault> {
    sized(text(value, path)?, size, path)
}

/// A member's key, as it stands between its quotes, of so many characters.
pub(super) fn sized_key<'a>(
    key: &'a str,
    size: RangeInclusive<usize>,
    path: Path,
) -> Result<Cow<'a, str>, Fault> {
    sized(unquoted(key, path)?, size, path)
}

fn sized<'a>(
    text: Cow<'a, str>,
    size: RangeInclusive<usize>,
    path: Path,
) -> Result<Cow<'a, str>, Fault> {
    // The bytes are at least as many as the characters, and quicker to count.
    let fits = (text.is_ascii() && size.contains(&text.len()))
        || size.contains(&text.chars().take(size.end() + 1).count());
    if fits {
        return Ok(text);
    }
    let (least, most) = size.into_inner();
    let detail = match least {
        0 => format!("must have at most {most} characters"),
        _ => format!("must have {least} to {most} characters"),
    };
    Err(Fault::invalid(path, detail))
}

/// Refuses what can hide or forge text where it is shown: control characters and those that
/// override the direction of writing.
pub(super) fn printable(text: &str, path: Path) -> Result<(), Fault> {
    if is_printable(text) {
        return Ok(());
    }
    Err(Fault::invalid(path, "holds a control or bidi override character"))
}

fn is_printable(text: &str) -> bool {
    if text.is_ascii() {
        return !text.bytes().any(|byte| byte.is_ascii_control());
    }
    let overrides = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.chars().any(|c| c.is_control() || overrides(c))
}

/// A finite number that is not negative.
pub(super) fn amount(value: &str, path: impl FnOnce() -> Cow<'static, str>) -> Result<f64, Fault> {
    if !value.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err(wrong_type(value, "a number", path()));
    }
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(Fault::invalid(path(), "must not be negative")),
    }
}

/// An integer, written as one, within a range.
pub(super) fn integer(value: &str, range: RangeInclusive<i64>, path: Path) -> Result<i64, Fault> {
    match value.parse::<i64>() {
        Ok(number) if range.contains(&number) => Ok(number),
        Err(_) if !value.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            Err(wrong_type(value, "an integer", path))
        }
        _ => {
            let what = match (*range.start(), *range.end()) {
                (start, i64::MAX) => format!("must be an integer, at least {start}"),
                (start, end) => format!("must be an integer from {start} to {end}"),
            };
            Err(Fault::invalid(path, what))
        }
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &str, path: Path) -> Result<bool, Fault> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong_type(value, "true or false", path)),
    }
}

/// The named members of an object that a field holds.
pub(super) fn object<'a, const N: usize>(
    value: &'a str,
    names: &[&str; N],
    path: Path,
) -> Result<[Option<&'a str>; N], Fault> {
    is_object(value, path)?;
    let known = Known::read(value, names, &mut Survey::default());
    match known.twice {
        None => Ok(known.values),
        Some(key) => Err(twice(Some(path), &key)),
    }
}

pub(super) fn is_object(value: &str, path: Path) -> Result<(), Fault> {
    if value.starts_with('{') { Ok(()) } else { Err(wrong_type(value, "an object", path)) }
}

/// The fault of a key that is given twice, at the top or inside a field.
pub(super) fn twice(inside: Option<Path>, key: &str) -> Fault {
    // A key that is no field of ours can hold anything.
    let named = (key.len() <= 64 && is_printable(key)).then_some(key);
    let field = match (inside, named) {
        (None, None) => return Fault::of_event("a key is given twice"),
        (None, Some(key)) => key.to_owned(),
        (Some(inside), None) => return Fault::invalid(inside, "a key is given twice"),
        (Some(inside), Some(key)) => format!("{inside}.{key}"),
    };
    Fault::invalid(field, "is given twice")
}

/// A UUID of any version, in any letter case, that is not nil.
pub(super) fn uuid(value: &str, path: Path) -> Result<Uuid, Fault> {
    match Uuid::try_parse(&text(value, path)?) {
        Ok(id) if !id.is_nil() => Ok(id),
        Ok(_) => Err(Fault::invalid(path, "must not be the nil UUID")),
        Err(_) => Err(Fault::invalid(path, "must be a UUID")),
    }
}

/// An id for a rejection, where it is one that can be shown.
pub(super) fn legible_id(value: &str) -> Option<String> {
    let text = text(value, "event_id").ok()?;
    (text.len() <= 64 && is_printable(&text)).then(|| text.into_owned())
}

/// The start of a sender's text for a detail, escaped.
pub(super) fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        shown.push('…');
    }
    shown
}

/// The texts of a body that come again and again, so that its events share them and the checks
/// behind them.
#[derive(Default)]
pub(super) struct Interned {
    clients: Recent,
    targets: Recent,
}

impl Interned {
    pub(super) fn client(&mut self, value: &str) -> Result<Arc<str>, Fault> {
        const PATH: Path = "client_id";
        let text = sized_text(value, 1..=255, PATH)?;
        self.clients.share(&text, || printable(&text, PATH))
    }

    pub(super) fn target(&mut self, value: &str) -> Result<Arc<str>, Fault> {
        let text = text(value, "target")?;
        self.targets.share(&text, || url(&text))
    }
}

/// The last few texts that passed their check.
#[derive(Default)]
struct Recent {
    kept: Vec<Arc<str>>,
    oldest: usize,
}

impl Recent {
    /// A probe has a handful of targets; more than this, and looking costs more than it saves.
    const KEPT: usize = 8;

    fn share(
        &mut self,
        text: &str,
        check: impl FnOnce() -> Result<(), Fault>,
    ) -> Result<Arc<str>, Fault> {
        if let Some(known) = self.kept.iter().find(|known| ***known == *text) {
            return Ok(Arc::clone(known));
        }
        check()?;
        let shared: Arc<str> = text.into();
        if self.kept.len() < Self::KEPT {
            self.kept.push(Arc::clone(&shared));
        } else {
            self.kept[self.oldest] = Arc::clone(&shared);
            self.oldest = (self.oldest + 1) % Self::KEPT;
        }
        Ok(shared)
    }
}

/// An absolute http or https URL with a host. It is kept as it was sent, so what a URL parser
/// would quietly mend (white space, missing slashes) is refused.
fn url(text: &str) -> Result<(), Fault> {
    const PATH: Path = "target";
    if text.len() > 2_048 {
        return Err(Fault::invalid(PATH, "must have at most 2048 bytes"));
    }
    printable(text, PATH)?;
    let absolute = ["http://", "https://"].iter().any(|scheme| {
        text.split_at_checked(scheme.len()).is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(scheme) && !rest.starts_with('/')
        })
    });
    if absolute && !text.contains([' ', '\\']) && Url::parse(text).is_ok_and(|url| url.has_host()) {
        return Ok(());
    }
    Err(Fault::invalid(PATH, "must be an absolute http or https URL with a host"))
}

fn wrong_type(value: &str, expected: &str, path: impl Into<Cow<'static, str>>) -> Fault {
    let kind = match value.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    };
    Fault::invalid(path, format!("must be {expected}, is {kind}"))
}
