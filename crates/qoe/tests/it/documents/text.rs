//! A document in blocks, and a line of shell in commands and words.

use std::str::Chars;

/// A paragraph, a table or a list; or a line of code.
#[derive(Debug, PartialEq)]
pub(super) struct Block {
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// What the fence around it says; empty where that says nothing, and for indented code. `None`:
    /// it is prose.
    pub(super) code: Option<String>,
    pub(super) text: String,
}

/// Takes Markdown apart. A line of code that ends with a backslash goes on in the next.
pub(super) fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut fence: Option<String> = None;
    let mut open = false;
    for (at, line) in document.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            fence = fence.is_none().then(|| language.trim().to_owned());
            open = false;
            continue;
        }
        let indented = line.strip_prefix("    ").filter(|_| {
            !open || blocks.last().is_some_and(|block| block.code.as_deref() == Some(""))
        });
        let (code, text) = match (&fence, indented) {
            (Some(language), _) => (Some(language.clone()), line),
            (None, Some(text)) => (Some(String::new()), text),
            (None, None) => (None, line),
        };
        if text.trim().is_empty() {
            open = false;
            continue;
        }
        match blocks.last_mut() {
            Some(last) if open && last.code == code && (code.is_none() || last.goes_on()) => {
                if code.is_some() {
                    last.text.truncate(last.text.len() - 1);
                }
                last.text.push(if code.is_some() { ' ' } else { '\n' });
                last.text.push_str(text);
            }
            _ => blocks.push(Block { line: at + 1, code, text: text.to_owned() }),
        }
        open = true;
    }
    blocks
}

impl Block {
    fn goes_on(&self) -> bool {
        self.text.ends_with('\\')
    }

    /// What stands between backticks in prose, each with its line.
    pub(super) fn quoted(&self) -> Vec<(usize, String)> {
        if self.code.is_some() {
            return Vec::new();
        }
        let pieces: Vec<&str> = self.text.split('`').collect();
        assert!(pieces.len() % 2 == 1, "an odd backtick in the block at line {}", self.line);
        let mut line = self.line;
        let mut quoted = Vec::new();
        for (at, piece) in pieces.into_iter().enumerate() {
            if at % 2 == 1 {
                let words: Vec<_> = piece.split_whitespace().collect();
                quoted.push((line, words.join(" ")));
            }
            line += piece.matches('\n').count();
        }
        quoted
    }

    /// Where its links lead, each with its line.
    pub(super) fn links(&self) -> Vec<(usize, &str)> {
        let line_of = |at| self.line + self.text[..at].matches('\n').count();
        let links = self.text.match_indices("](").filter(|_| self.code.is_none());
        links
            .filter_map(|(at, mark)| {
                let rest = &self.text[at + mark.len()..];
                Some((line_of(at), &rest[..rest.find(')')?]))
            })
            .collect()
    }
}

/// The commands of a line of shell, each as its words: what stands between pipes, `&&` and `;`, and
/// within `$( )`. Quotes are taken off, comments and redirections are left out. Brackets around what
/// may be left out (`[--json]`) are taken off too.
pub(super) fn commands(line: &str) -> Vec<Vec<String>> {
    let mut shell = Shell::default();
    shell.read(&mut line.chars());
    shell.end_command();
    shell.commands
}

#[derive(Default)]
struct Shell {
    commands: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
    /// The next word is where a redirection leads.
    redirects: bool,
}

impl Shell {
    fn read(&mut self, chars: &mut Chars<'_>) {
        let mut in_double = false;
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    in_double = !in_double;
                    self.word();
                }
                '\\' => self.word().extend(chars.next()),
                '$' if chars.as_str().starts_with('(') => {
                    chars.next();
                    let inner = within(chars);
                    self.commands.extend(commands(&inner));
                    self.word().push('1');
                }
                c if in_double => self.word().push(c),
                '\'' => {
                    let quoted: String = chars.by_ref().take_while(|c| *c != '\'').collect();
                    self.word().push_str(&quoted);
                }
                '#' if self.word.is_none() => return,
                '|' | '&' | ';' => self.end_command(),
                '<' | '>' => {
                    // The number of a descriptor belongs to it.
                    self.word.take_if(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
                    self.end_word();
                    while chars.as_str().starts_with(['<', '>', '&']) {
                        chars.next();
                    }
                    self.redirects = true;
                }
                c if c.is_whitespace() => self.end_word(),
                c => self.word().push(c),
            }
        }
    }

    fn word(&mut self) -> &mut String {
        self.word.get_or_insert_default()
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        if std::mem::take(&mut self.redirects) {
            return;
        }
        let word = if word.starts_with("[-") { &word[1..] } else { &word };
        let word = word.strip_suffix(']').filter(|word| !word.contains('[')).unwrap_or(word);
        self.words.push(word.to_owned());
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.words.is_empty() {
            self.commands.push(std::mem::take(&mut self.words));
        }
    }
}

/// Up to the parenthesis that ends it.
fn within(chars: &mut Chars<'_>) -> String {
    let mut depth = 1;
    let inner = chars.by_ref().take_while(|c| {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        depth > 0
    });
    inner.collect()
}

#[test]
fn markdown_is_taken_apart() {
    let text = "Prose `a\nb` and\n[c](d.md).\n\n    code \\\n    goes on\n    more\n\n```sh\nx\n\ny\n```\nEnd\n";
    let found = blocks(text);
    let texts: Vec<_> =
        found.iter().map(|b| (b.line, b.code.as_deref(), b.text.as_str())).collect();
    assert_eq!(
        texts,
        [
            (1, None, "Prose `a\nb` and\n[c](d.md)."),
            (5, Some(""), "code  goes on"),
            (7, Some(""), "more"),
            (10, Some("sh"), "x"),
            (12, Some("sh"), "y"),
            (14, None, "End"),
        ]
    );
    assert_eq!(found[0].quoted(), [(1, "a b".to_owned())]);
    assert_eq!(found[0].links(), [(3, "d.md")]);
}

#[test]
fn shell_is_taken_apart() {
    let words = |line: &str| {
        commands(line).into_iter().map(|words| words.join(",")).collect::<Vec<_>>().join(" / ")
    };
    assert_eq!(words("$ A=b qoe up 'x y'  # no"), "$,A=b,qoe,up,x y");
    assert_eq!(words("a 2>&1 >> f | b && c; d"), "a / b / c / d");
    assert_eq!(
        words("T=\"$(qoe token create --client-id x)\""),
        "qoe,token,create,--client-id,x / T=1"
    );
    assert_eq!(
        words(r"qoe compare A B [--json] [--from x] \| http://[::1]:1/"),
        "qoe,compare,A,B,--json,--from,x,|,http://[::1]:1/"
    );
}
