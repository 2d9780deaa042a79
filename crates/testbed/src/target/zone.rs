//! DNS answers: a pure function of query, zone and fault.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::faults::DnsAnswer;

/// Addresses a name may have: the answer has to fit the 64 KiB of a message, and 1,000 AAAA records
/// take 28 KB.
const MAX_ADDRESSES: usize = 1000;

/// UDP payload we offer and never exceed: it passes an IPv6 path of 1280 bytes unfragmented.
const MAX_UDP: u16 = 1232;

/// UDP payload of a client that says nothing about it.
const PLAIN_UDP: u16 = 512;

/// Seconds an answer may be kept: faults have to be seen by the next query.
const TTL: u32 = 0;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// Names and their addresses.
#[derive(Debug)]
pub(super) struct Zone(BTreeMap<Name, Vec<IpAddr>>);

impl Zone {
    /// Reads the names, which are compared without regard to letter case.
    pub(super) fn new(entries: &BTreeMap<String, Vec<IpAddr>>) -> io::Result<Self> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let mut zone = BTreeMap::new();
        for (text, addresses) in entries {
            let mut name = Name::from_ascii(text)
                .map_err(|error| invalid(format!("zone name {text:?}: {error}")))?;
            name.set_fqdn(true);
            if addresses.len() > MAX_ADDRESSES {
                return Err(invalid(format!(
                    "zone name {text:?}: more than {MAX_ADDRESSES} addresses"
                )));
            }
            if zone.insert(name, addresses.clone()).is_some() {
                return Err(invalid(format!("zone name {text:?} is given twice")));
            }
        }
        Ok(Self(zone))
    }

    /// The encoded answer to an encoded query. `None`: there is nothing to answer, because it is not a
    /// query at all.
    pub(super) fn answer(
        &self,
        query: &[u8],
        fault: DnsAnswer,
        transport: Transport,
    ) -> Option<Vec<u8>> {
        let Ok(query) = Message::from_vec(query) else { return malformed(query) };
        if query.message_type != MessageType::Query {
            return None; // two servers must not answer each other for ever
        }
        let mut answer = Message::response(query.id, query.op_code);
        answer.metadata.authoritative = true;
        // It stands in for a resolver, and stubs look at this bit.
        answer.metadata.recursion_available = true;
        answer.metadata.recursion_desired = query.recursion_desired;
        answer.add_queries(query.queries.iter().cloned());
        if query.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_UDP);
            answer.set_edns(edns);
        }
        answer.metadata.response_code = match fault {
            DnsAnswer::Servfail => ResponseCode::ServFail,
            DnsAnswer::Nxdomain => ResponseCode::NXDomain,
            DnsAnswer::Silence => return None,
            DnsAnswer::Ok => self.fill(&query, &mut answer),
        };

        let encoded = answer.to_vec().ok()?;
        let limit = match transport {
            Transport::Tcp => usize::from(u16::MAX),
            Transport::Udp => usize::from(
                query.edns.map_or(PLAIN_UDP, |edns| edns.max_payload()).clamp(PLAIN_UDP, MAX_UDP),
            ),
        };
        if encoded.len() <= limit { Some(encoded) } else { answer.truncate().to_vec().ok() }
    }

    /// Adds the records that are asked for, and says how it went.
    fn fill(&self, query: &Message, answer: &mut Message) -> ResponseCode {
        if query.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return ResponseCode::BADVERS;
        }
        if query.op_code != OpCode::Query {
            return ResponseCode::NotImp;
        }
        let [question] = query.queries.as_slice() else { return ResponseCode::FormErr };
        if question.query_class() != DNSClass::IN {
            return ResponseCode::Refused;
        }
        match self.0.get(question.name()) {
            Some(addresses) => {
                answer
                    .add_answers(addresses.iter().filter_map(|address| record(question, *address)));
                ResponseCode::NoError
            }
            // A name that others stand below exists, without data (RFC 8020).
            None if self.0.keys().any(|name| question.name().zone_of(name)) => {
                ResponseCode::NoError
            }
            None => ResponseCode::NXDomain,
        }
    }
}

/// The record of `address`, if it is of the type in question. The owner is spelled as in the
/// question: clients that mix letter case look for it.
fn record(question: &Query, address: IpAddr) -> Option<Record> {
    let data = match (question.query_type(), address) {
        (RecordType::A, IpAddr::V4(address)) => RData::A(A(address)),
        (RecordType::AAAA, IpAddr::V6(address)) => RData::AAAA(AAAA(address)),
        _ => return None,
    };
    Some(Record::from_rdata(question.name().clone(), TTL, data))
}

/// FORMERR, where there is at least the header of a query to answer to.
fn malformed(query: &[u8]) -> Option<Vec<u8>> {
    let [high, low, flags, ..] = query else { return None };
    if query.len() < 12 || flags & 0x80 != 0 {
        return None;
    }
    let id = u16::from_be_bytes([*high, *low]);
    Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok()
}
