//! Where a response sends the reader, and how far to go along. Pure.

use http::header;
use model::ErrorStage;
use url::Url;

use crate::failure::{Failure, kind};
use crate::measurement::Measurement;
use crate::target::parse_target;

/// The target a redirect names; `None` where the response is none, or names nothing that may be
/// measured.
pub(super) fn location(target: &Url, head: &http::response::Parts) -> Option<Url> {
    if !matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let text = head.headers.get(header::LOCATION)?.to_str().ok()?;
    parse_target(target.join(text).ok()?.as_str()).ok()
}

/// The next hop of a chain. Where it leads back to a target of the chain, or on beyond `most`
/// redirects, the last hop fails and there is none.
pub(super) fn next(hops: &mut [Measurement], most: u32) -> Option<Url> {
    let next = hops.last()?.location.clone().filter(|_| most > 0)?;
    let circle = hops.iter().any(|hop| hop.target == next);
    let followed = u32::try_from(hops.len()).unwrap_or(u32::MAX) - 1;
    if !circle && followed < most {
        return Some(next);
    }
    let what = if circle {
        format!("redirected to {next} once more")
    } else {
        format!("more than {most} redirects, the next to {next}")
    };
    let last = hops.last_mut()?;
    last.failure.get_or_insert(Failure::new(ErrorStage::Http, kind::HTTP_REDIRECT_LOOP, what));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn led(status: u16, to: &str) -> Option<String> {
        let response = http::Response::builder().status(status).header("location", to);
        let (head, ()) = response.body(()).unwrap().into_parts();
        location(&url("https://a.test/x/y"), &head).map(String::from)
    }

    fn hop(target: &str, to: &str) -> Measurement {
        let mut hop = Measurement::started(&url(target), 0);
        hop.location = Some(url(to));
        hop
    }

    #[test]
    fn a_location_is_read_as_a_target_would_be() {
        assert_eq!(led(301, "http://b.test/#top").as_deref(), Some("http://b.test/"));
        assert_eq!(led(302, "z?q").as_deref(), Some("https://a.test/x/z?q"));
        assert_eq!(led(200, "/z"), None);
        assert_eq!(led(304, "/z"), None);
        for to in ["ftp://b.test/", "http://u:p@b.test/", "http://"] {
            assert_eq!(led(302, to), None, "{to}");
        }
    }

    #[test]
    fn a_chain_ends_at_its_limit_and_where_it_meets_itself() {
        let mut hops = vec![hop("http://a.test/", "http://b.test/")];
        assert_eq!(next(&mut hops, 0), None);
        assert_eq!(next(&mut hops, 1), Some(url("http://b.test/")));
        assert_eq!(hops[0].failure, None);
        hops.push(hop("http://b.test/", "http://c.test/"));
        assert_eq!(next(&mut hops, 1), None);
        let failure = hops[1].failure.clone().unwrap();
        assert_eq!((failure.kind, failure.exit_code()), (kind::HTTP_REDIRECT_LOOP, 47));
        hops[1] = hop("http://b.test/", "http://a.test/");
        assert_eq!(next(&mut hops, 9), None);
        assert_eq!(hops[1].failure.as_ref().unwrap().kind, kind::HTTP_REDIRECT_LOOP);
    }
}
