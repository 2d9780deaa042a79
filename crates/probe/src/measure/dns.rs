//! DNS messages: the query that is sent, and what an answer to it says. No sockets here.

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

/// More aliases than this are taken for a loop.
const MAX_ALIASES: usize = 16;

/// What a server said to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The addresses of the name; none is "the name exists, but has none of this family".
    Addresses(Vec<IpAddr>),
    /// The answer did not fit; to be asked again over TCP.
    Truncated,
    /// There is no such name.
    NoSuchName,
    /// The server could not or would not answer.
    Error(ResponseCode),
    /// The server's answer cannot be read.
    Malformed,
}

/// A query for the addresses of a name in one family, recursion wanted, as stub resolvers send
/// it. Without EDNS, again as they do: what is measured is what programs on this machine see.
pub(super) fn query(id: u16, name: &Name, kind: RecordType) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    message
}

/// Reads a datagram as the answer to a query. `None`: it is not an answer to this query, and
/// waiting goes on. The source is checked by the connected socket.
pub(crate) fn answer(bytes: &[u8], id: u16, name: &Name, kind: RecordType) -> Option<Answer> {
    if bytes.get(..2)? != id.to_be_bytes() {
        return None;
    }
    let Ok(message) = Message::from_vec(bytes) else { return Some(Answer::Malformed) };
    let asked = |q: &Query| {
        q.query_type == kind && q.query_class == DNSClass::IN && q.name.eq_ignore_root(name)
    };
    if message.metadata.message_type != MessageType::Response
        || message.metadata.op_code != OpCode::Query
    {
        return None;
    }
    match message.queries.as_slice() {
        [question] if asked(question) => {}
        // Servers that cannot read a query at all answer without repeating the question.
        [] if message.metadata.response_code == ResponseCode::FormErr => {}
        _ => return None,
    }
    if message.metadata.truncation {
        return Some(Answer::Truncated);
    }
    Some(match message.metadata.response_code {
        ResponseCode::NoError => Answer::Addresses(addresses(&message, name, kind)),
        ResponseCode::NXDomain => Answer::NoSuchName,
        code => Answer::Error(code),
    })
}

/// The name IANA has for a response code.
pub(super) fn code_name(code: ResponseCode) -> String {
    match code {
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => format!("RCODE{}", u16::from(other)),
    }
}

/// Follows the aliases of the answer section from the name that was asked.
fn addresses(message: &Message, name: &Name, kind: RecordType) -> Vec<IpAddr> {
    let mut owner = name;
    for _ in 0..MAX_ALIASES {
        let of_owner = || message.answers.iter().filter(|r| r.name.eq_ignore_root(owner));
        let found: Vec<IpAddr> = of_owner()
            .filter(|r| r.record_type() == kind)
            .filter_map(|r| match &r.data {
                RData::A(a) => Some(IpAddr::V4(a.0)),
                RData::AAAA(a) => Some(IpAddr::V6(a.0)),
                _ => None,
            })
            .collect();
        if !found.is_empty() {
            return found;
        }
        let alias = of_owner().find_map(|r| match &r.data {
            RData::CNAME(target) => Some(&target.0),
            _ => None,
        });
        match alias {
            Some(target) => owner = target,
            None => break,
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{A, CNAME};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn response(records: Vec<Record>) -> Message {
        let mut message = query(7, &name("a.test."), RecordType::A).into_response();
        message.add_answers(records);
        message
    }

    fn read(message: &Message) -> Option<Answer> {
        answer(&message.to_vec().unwrap(), 7, &name("a.test."), RecordType::A)
    }

    fn a(owner: &str, last: u8) -> Record {
        Record::from_rdata(name(owner), 60, RData::A(A::new(192, 0, 2, last)))
    }

    fn alias(owner: &str, target: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(target))))
    }

    fn found(last: u8) -> Option<Answer> {
        Some(Answer::Addresses(vec![IpAddr::from([192, 0, 2, last])]))
    }

    #[test]
    fn aliases_are_followed_in_any_order_and_case() {
        assert_eq!(read(&response(vec![a("A.TEST.", 1)])), found(1));
        let chain = vec![a("c.test.", 3), alias("b.test.", "C.test."), alias("a.test.", "b.test.")];
        assert_eq!(read(&response(chain)), found(3));
        assert_eq!(read(&response(vec![a("other.test.", 9)])), Some(Answer::Addresses(vec![])));
        let circle = vec![alias("a.test.", "b.test."), alias("b.test.", "a.test.")];
        assert_eq!(read(&response(circle)), Some(Answer::Addresses(vec![])));
    }

    #[test]
    fn what_is_not_an_answer_to_the_question_is_not_taken_for_one() {
        let good = response(vec![a("a.test.", 1)]);
        let bytes = good.to_vec().unwrap();
        assert_eq!(answer(&bytes, 8, &name("a.test."), RecordType::A), None, "id");
        assert_eq!(answer(&bytes, 7, &name("b.test."), RecordType::A), None, "name");
        assert_eq!(answer(&bytes, 7, &name("a.test."), RecordType::AAAA), None, "type");
        let echo = query(7, &name("a.test."), RecordType::A).to_vec().unwrap();
        assert_eq!(answer(&echo, 7, &name("a.test."), RecordType::A), None, "a query");
        assert_eq!(answer(&[], 7, &name("a.test."), RecordType::A), None);
        let cut = &bytes[..bytes.len() - 3];
        assert_eq!(answer(cut, 7, &name("a.test."), RecordType::A), Some(Answer::Malformed));
    }

    #[test]
    fn codes_and_truncation_are_told_apart() {
        let mut message = response(vec![]);
        message.metadata.response_code = ResponseCode::NXDomain;
        assert_eq!(read(&message), Some(Answer::NoSuchName));
        message.metadata.response_code = ResponseCode::ServFail;
        assert_eq!(read(&message), Some(Answer::Error(ResponseCode::ServFail)));
        message.metadata.truncation = true;
        assert_eq!(read(&message), Some(Answer::Truncated));
    }
}
