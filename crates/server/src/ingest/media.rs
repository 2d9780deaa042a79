//! What a body claims to be: media type and content coding.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use model::decode::Media;

use super::problem::Problem;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

pub(super) fn media(headers: &HeaderMap) -> Result<Media, Problem> {
    only(headers, &CONTENT_TYPE).and_then(parse_media).ok_or_else(|| {
        let detail = "the Content-Type must be application/json or application/x-ndjson, in UTF-8";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    })
}

pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(Encoding::Identity);
    }
    only(headers, &CONTENT_ENCODING).and_then(parse_encoding).ok_or_else(|| {
        let detail = "the Content-Encoding must be one of gzip, zstd and identity";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", detail)
            .with_header(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"))
    })
}

/// The value of a header that is there once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn parse_media(value: &str) -> Option<Media> {
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next()?;
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    let media = if is("application/json") {
        Media::Json
    } else if is("application/x-ndjson") || is("application/ndjson") {
        Media::Ndjson
    } else {
        return None;
    };
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
            charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    utf8.then_some(media)
}

fn parse_encoding(value: &str) -> Option<Encoding> {
    let is = |name: &str| value.trim().eq_ignore_ascii_case(name);
    if is("identity") || is("") {
        Some(Encoding::Identity)
    } else if is("gzip") || is("x-gzip") {
        Some(Encoding::Gzip)
    } else if is("zstd") {
        Some(Encoding::Zstd)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_of_the_contract_and_no_others() {
        let json = [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; profile=x",
        ];
        for value in json {
            assert_eq!(parse_media(value), Some(Media::Json), "{value}");
        }
        for value in ["application/x-ndjson", "application/ndjson ; charset=UTF-8"] {
            assert_eq!(parse_media(value), Some(Media::Ndjson), "{value}");
        }
        let others =
            ["", "text/plain", "application/json; charset=utf-16", "application/jsonl", "json"];
        for value in others {
            assert_eq!(parse_media(value), None, "{value}");
        }
    }

    #[test]
    fn one_coding_at_a_time() {
        assert_eq!(parse_encoding("GZIP"), Some(Encoding::Gzip));
        assert_eq!(parse_encoding("zstd"), Some(Encoding::Zstd));
        for value in ["br", "deflate", "gzip, gzip", "zstd,gzip", "gzip;q=1"] {
            assert_eq!(parse_encoding(value), None, "{value}");
        }
    }
}
