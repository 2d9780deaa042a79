//! So much of Go's templates, and of what Helm adds to them, as our chart uses. Unlike Helm it
//! refuses a value that is not there: a misspelt one is a failure and not a blank.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

type Result<T> = std::result::Result<T, String>;

enum Node {
    Text(String),
    Print(Pipe),
    Let(String, Pipe),
    /// Branches, the last of which may have no condition; `with` makes its value the dot.
    If {
        with: bool,
        branches: Vec<(Option<Pipe>, Vec<Node>)>,
    },
    Range(Pipe, Vec<Node>),
}

/// Calls, each of which is given what the one before came to.
type Pipe = Vec<Vec<Term>>;

enum Term {
    Literal(Value),
    /// `.a.b`, `$.a.b` or `$name.a.b`; the first piece is the part before the first dot.
    Path(String, Vec<String>),
    Function(String),
    Group(Pipe),
}

/// The named parts of all templates of a chart.
#[derive(Default)]
pub(super) struct Templates {
    defined: BTreeMap<String, Vec<Node>>,
}

/// What is known at one place of a template.
struct Scope<'a> {
    root: &'a Value,
    dot: Value,
    named: Vec<(String, Value)>,
}

impl Templates {
    /// Takes the named parts of a text.
    pub(super) fn define(&mut self, text: &str) -> Result<()> {
        self.parse(text).map(drop)
    }

    /// What a text comes to.
    pub(super) fn render(&mut self, text: &str, root: &Value) -> Result<String> {
        let nodes = self.parse(text)?;
        self.evaluate(&nodes, root)
    }

    fn evaluate(&self, nodes: &[Node], root: &Value) -> Result<String> {
        let mut scope = Scope { root, dot: root.clone(), named: Vec::new() };
        let mut out = String::new();
        self.nodes(nodes, &mut scope, &mut out)?;
        Ok(out)
    }

    fn nodes(&self, nodes: &[Node], scope: &mut Scope, out: &mut String) -> Result<()> {
        let known = scope.named.len();
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(pipe) => out.push_str(&shown(&self.pipe(pipe, scope)?)),
                Node::Let(name, pipe) => {
                    let value = self.pipe(pipe, scope)?;
                    scope.named.push((name.clone(), value));
                }
                Node::If { with, branches } => {
                    for (condition, body) in branches {
                        let value = condition.as_ref().map(|pipe| self.pipe(pipe, scope));
                        let value = value.transpose()?;
                        if value.as_ref().is_none_or(is_true) {
                            let dot = value.filter(|_| *with).unwrap_or_else(|| scope.dot.clone());
                            self.below(body, dot, scope, out)?;
                            break;
                        }
                    }
                }
                Node::Range(pipe, body) => {
                    let Value::Array(items) = self.pipe(pipe, scope)? else {
                        return Err("range over what is no list".to_owned());
                    };
                    for item in items {
                        self.below(body, item, scope, out)?;
                    }
                }
            }
        }
        scope.named.truncate(known);
        Ok(())
    }

    fn below(&self, body: &[Node], dot: Value, scope: &mut Scope, out: &mut String) -> Result<()> {
        let before = std::mem::replace(&mut scope.dot, dot);
        let done = self.nodes(body, scope, out);
        scope.dot = before;
        done
    }

    fn pipe(&self, pipe: &Pipe, scope: &Scope) -> Result<Value> {
        let mut last = None;
        for call in pipe {
            let (function, args) = match call.split_first() {
                Some((Term::Function(name), args)) => (Some(name), args),
                _ => (None, &call[..]),
            };
            let args = args.iter().map(|term| self.term(term, scope));
            let mut args = args.chain(last.take().map(Ok)).collect::<Result<Vec<_>>>()?;
            last = Some(match function {
                Some(name) => self.call(name, &args)?,
                None if args.len() == 1 => args.remove(0),
                None => return Err("a value is given arguments".to_owned()),
            });
        }
        last.ok_or_else(|| "nothing between braces".to_owned())
    }

    fn term(&self, term: &Term, scope: &Scope) -> Result<Value> {
        match term {
            Term::Literal(value) => Ok(value.clone()),
            Term::Group(pipe) => self.pipe(pipe, scope),
            Term::Function(name) => self.call(name, &[]),
            Term::Path(base, fields) => {
                let named = || scope.named.iter().rev().find(|(name, _)| name == base);
                let start = match base.as_str() {
                    "" => &scope.dot,
                    "$" => scope.root,
                    _ => &named().ok_or_else(|| format!("{base} is not defined"))?.1,
                };
                fields
                    .iter()
                    .try_fold(start, |value, field| {
                        value
                            .get(field)
                            .ok_or_else(|| format!("no {field} in {base}.{}", fields.join(".")))
                    })
                    .cloned()
            }
        }
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value> {
        let text = |at: usize| {
            let arg = args.get(at).and_then(Value::as_str);
            arg.ok_or_else(|| format!("{name} wants a text as its argument {}", at + 1))
        };
        let number = |at: usize| {
            let arg = args.get(at).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
            arg.ok_or_else(|| format!("{name} wants a number as its argument {}", at + 1))
        };
        Ok(match (name, args) {
            ("include", [_, dot]) => {
                let nodes = self.defined.get(text(0)?);
                let nodes = nodes.ok_or_else(|| format!("{} is defined nowhere", args[0]))?;
                self.evaluate(nodes, dot)?.into()
            }
            ("toYaml", [value]) => {
                let yaml = serde_norway::to_string(value).map_err(|error| error.to_string())?;
                yaml.trim_end().into()
            }
            ("nindent", [..]) => {
                let indent = " ".repeat(number(0)?);
                let lines = text(1)?.split('\n').map(|line| format!("\n{indent}{line}"));
                lines.collect::<String>().into()
            }
            ("quote", [value]) => format!("{:?}", shown(value)).into(),
            ("upper", [_]) => text(0)?.to_uppercase().into(),
            // That it changes with its text is all that is wanted of it.
            ("sha256sum", [_]) => format!("{:064x}", text(0)?.len()).into(),
            ("trunc", [..]) => text(1)?.chars().take(number(0)?).collect::<String>().into(),
            ("trimSuffix", [..]) => text(1)?.strip_suffix(text(0)?).unwrap_or(text(1)?).into(),
            ("default", [other, value]) => if is_true(value) { value } else { other }.clone(),
            ("ternary", [yes, no, which]) => if is_true(which) { yes } else { no }.clone(),
            ("ne", [one, other]) => (one != other).into(),
            ("required", [_, value]) if is_true(value) => value.clone(),
            ("required" | "fail", [..]) => return Err(text(0)?.to_owned()),
            ("printf", [_, rest @ ..]) => {
                let mut pieces = text(0)?.split("%s");
                let first = pieces.next().unwrap_or_default().to_owned();
                let filled = pieces.zip(rest).map(|(piece, arg)| shown(arg) + piece);
                (first + &filled.collect::<String>()).into()
            }
            ("list", items) => items.to_vec().into(),
            ("dict", pairs) => {
                let entry = |pair: &[Value]| Some((pair[0].as_str()?.to_owned(), pair[1].clone()));
                let entries = pairs.chunks_exact(2).map(entry).collect::<Option<Map<_, _>>>();
                Value::Object(entries.ok_or("dict wants names and values")?)
            }
            _ => return Err(format!("{name} is not known, or not with {} arguments", args.len())),
        })
    }

    fn parse(&mut self, text: &str) -> Result<Vec<Node>> {
        let mut pieces = pieces(text)?.into_iter();
        match self.block(&mut pieces)? {
            (nodes, None) => Ok(nodes),
            (_, Some(end)) => Err(format!("{end} ends nothing")),
        }
    }

    /// The nodes up to `end` or `else`, and which of them it was.
    fn block(
        &mut self,
        pieces: &mut impl Iterator<Item = Piece>,
    ) -> Result<(Vec<Node>, Option<String>)> {
        let mut nodes = Vec::new();
        while let Some(piece) = pieces.next() {
            let action = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(action) => action,
            };
            let (word, rest) = action.split_once(' ').unwrap_or((&action, ""));
            match word {
                "end" | "else" => return Ok((nodes, Some(action))),
                "define" => {
                    let (body, _) = self.block(pieces)?;
                    self.defined.insert(rest.trim().trim_matches('"').to_owned(), body);
                }
                "range" => nodes.push(Node::Range(pipeline(rest)?, self.block(pieces)?.0)),
                "if" | "with" => {
                    let mut branches = Vec::new();
                    let mut condition = Some(pipeline(rest)?);
                    loop {
                        let (body, end) = self.block(pieces)?;
                        branches.push((condition.take(), body));
                        match end.as_deref() {
                            Some("end") => break,
                            Some("else") => {}
                            Some(end) => {
                                let rest = end.strip_prefix("else if ").ok_or("not understood")?;
                                condition = Some(pipeline(rest)?);
                            }
                            None => return Err(format!("{action} has no end")),
                        }
                    }
                    nodes.push(Node::If { with: word == "with", branches });
                }
                _ => nodes.push(match action.split_once(":=") {
                    Some((name, value)) => Node::Let(name.trim().to_owned(), pipeline(value)?),
                    None => Node::Print(pipeline(&action)?),
                }),
            }
        }
        Ok((nodes, None))
    }
}

enum Piece {
    Text(String),
    Action(String),
}

/// Text and what stands between braces, comments left out and blanks cut where a dash wants it.
fn pieces(mut text: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut cut = false;
    while let Some((before, rest)) = text.split_once("{{") {
        let (action, after) = rest.split_once("}}").ok_or("{{ without }}")?;
        let before = if cut { before.trim_start() } else { before };
        let (action, before) = match action.strip_prefix('-') {
            Some(action) => (action, before.trim_end()),
            None => (action, before),
        };
        cut = action.ends_with('-');
        let action = action.strip_suffix('-').unwrap_or(action).trim();
        pieces.push(Piece::Text(before.to_owned()));
        if !action.starts_with("/*") {
            pieces.push(Piece::Action(action.to_owned()));
        }
        text = after;
    }
    pieces.push(Piece::Text(if cut { text.trim_start() } else { text }.to_owned()));
    Ok(pieces)
}

fn pipeline(text: &str) -> Result<Pipe> {
    let mut rest = text.trim();
    let pipe = group(&mut rest)?;
    if rest.is_empty() { Ok(pipe) } else { Err(format!("`{rest}` is left of `{text}`")) }
}

/// Up to a closing parenthesis or the end.
fn group(rest: &mut &str) -> Result<Pipe> {
    let mut pipe = vec![Vec::new()];
    loop {
        *rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { return Ok(pipe) };
        let term = match first {
            ')' => return Ok(pipe),
            '|' => {
                *rest = &rest[1..];
                pipe.push(Vec::new());
                continue;
            }
            '(' => {
                *rest = &rest[1..];
                let inner = group(rest)?;
                *rest = rest.strip_prefix(')').ok_or("( without )")?;
                Term::Group(inner)
            }
            '"' => {
                let (literal, after) = rest[1..].split_once('"').ok_or("a text without its end")?;
                *rest = after;
                Term::Literal(literal.into())
            }
            _ => {
                let end = rest.find([' ', ')', '|', '\n']).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                *rest = after;
                self::word(word)
            }
        };
        pipe.last_mut().expect("there is one from the start").push(term);
    }
}

fn word(word: &str) -> Term {
    let mut fields = word.split('.').map(str::to_owned);
    match word {
        "." => Term::Path(String::new(), Vec::new()),
        "true" | "false" => Term::Literal((word == "true").into()),
        _ if word.starts_with(['.', '$']) => {
            Term::Path(fields.next().unwrap_or_default(), fields.collect())
        }
        _ => match word.parse::<u64>() {
            Ok(number) => Term::Literal(number.into()),
            Err(_) => Term::Function(word.to_owned()),
        },
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn templates_are_as_go_has_them() {
    let mut templates = Templates::default();
    templates.define("{{- define \"a\" -}}\n<{{ .x | quote }}>\n{{- end -}}").unwrap();
    let root = json!({"x": "y", "no": "", "list": [{"x": 1}, {"x": 2}], "n": 3});
    for (text, wanted) in [
        ("a {{- /* b */ -}} c", "ac"),
        ("{{ include \"a\" . | nindent 2 }}", "\n  <\"y\">"),
        ("{{ range .list }}{{ .x }}{{ $.n }},{{ end }}", "13,23,"),
        ("{{ if .no }}1{{ else if .n }}2{{ else }}3{{ end }}", "2"),
        ("{{ with .no }}{{ . }}{{ else }}{{ .x }}{{ end }}", "y"),
        ("{{ $v := printf \"%s-%s\" .x \"z\" | trunc 2 }}{{ $v | trimSuffix \"-\" }}", "y"),
        ("{{ ternary \"t\" \"f\" (ne .x \"y\") }}{{ .no | default .n }}", "f3"),
        ("{{ range list (dict \"x\" 1) .list }}{{ toYaml . }};{{ end }}", "x: 1;- x: 1\n- x: 2;"),
    ] {
        assert_eq!(templates.render(text, &root).as_deref(), Ok(wanted), "{text}");
    }
    for wrong in [
        "{{ .y }}",
        "{{ nope 1 }}",
        "{{ include \"b\" . }}",
        "{{ required \"say\" .no }}",
        "{{ if .x }}",
    ] {
        assert!(templates.render(wrong, &root).is_err(), "{wrong}");
    }
}
