//! Rust source as the import table needs it: words without comments and strings, paths resolved.
//!
//! A lexer of our own, because the question is small and an answer that depends on no parser's
//! version stays the same. What it cannot see: paths that a macro puts together.

/// A piece of source that is neither comment nor string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An identifier, keyword or number.
    Word(String),
    /// `::`.
    Colons,
    /// Any other character.
    Mark(char),
}

/// A piece with its place.
#[derive(Clone, Debug)]
pub struct Token {
    /// What it is.
    pub piece: Piece,
    /// Its line, from 1.
    pub line: usize,
    /// Whether it belongs to an item under `#[cfg(test)]` or `#[test]`.
    pub test: bool,
}

impl Token {
    /// Whether it is the word `word`.
    pub fn is(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    /// The word it is, if it is one.
    pub fn word(&self) -> Option<&str> {
        if let Piece::Word(word) = &self.piece { Some(word) } else { None }
    }

    fn mark(&self, mark: char) -> bool {
        self.piece == Piece::Mark(mark)
    }
}

/// Takes `text` apart and marks what is test code.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Lexer { chars: text.chars().collect(), at: 0, line: 1 }.run();
    mark_tests(&mut tokens);
    tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn step(&mut self, count: usize) {
        for _ in 0..count {
            self.line += usize::from(self.peek(0) == '\n');
            self.at += 1;
        }
    }

    fn run(mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        while self.at < self.chars.len() {
            let line = self.line;
            if let Some(piece) = self.next() {
                tokens.push(Token { piece, line, test: false });
            }
        }
        tokens
    }

    fn next(&mut self) -> Option<Piece> {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => {
                while self.at < self.chars.len() && self.peek(0) != '\n' {
                    self.step(1);
                }
                None
            }
            ('/', '*') => {
                self.block_comment();
                None
            }
            ('"', _) => {
                self.string();
                None
            }
            ('\'', _) => {
                self.quote();
                None
            }
            (':', ':') => {
                self.step(2);
                Some(Piece::Colons)
            }
            (c, _) if c.is_alphanumeric() || c == '_' => self.word(),
            (c, _) => {
                self.step(1);
                (!c.is_whitespace()).then_some(Piece::Mark(c))
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ if self.at >= self.chars.len() => return,
                _ => {
                    self.step(1);
                    continue;
                }
            }
            self.step(2);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.step(1);
        while self.at < self.chars.len() && self.peek(0) != '"' {
            self.step(if self.peek(0) == '\\' { 2 } else { 1 });
        }
        self.step(1);
    }

    /// A raw string from its first `#` or quote on.
    fn raw_string(&mut self) {
        let fence = (0..).take_while(|&i| self.peek(i) == '#').count();
        self.step(fence + 1);
        while self.at < self.chars.len() {
            let closes = self.peek(0) == '"' && (1..=fence).all(|i| self.peek(i) == '#');
            self.step(if closes { fence + 1 } else { 1 });
            if closes {
                return;
            }
        }
    }

    /// A character, or the name of a lifetime.
    fn quote(&mut self) {
        if self.peek(1) == '\\' {
            self.step(3);
            while self.at < self.chars.len() && self.peek(0) != '\'' {
                self.step(1);
            }
            self.step(1);
        } else if self.peek(2) == '\'' {
            self.step(3);
        } else {
            self.step(1);
            while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
                self.step(1);
            }
        }
    }

    fn word(&mut self) -> Option<Piece> {
        let mut word = String::new();
        while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
            word.push(self.peek(0));
            self.step(1);
        }
        let raw = ["r", "br", "cr"].contains(&word.as_str());
        let opens = self.peek((0..).take_while(|&i| self.peek(i) == '#').count()) == '"';
        match self.peek(0) {
            '"' | '#' if raw && opens => self.raw_string(),
            '"' if ["b", "c"].contains(&word.as_str()) => self.string(),
            '\'' if word == "b" => self.quote(),
            '#' if word == "r" => {
                self.step(1);
                return self.word();
            }
            _ => return Some(Piece::Word(word)),
        }
        None
    }
}

/// Marks items under `#[cfg(test)]`, `#[cfg(all(test, ..))]` and `#[test]`, and whole files under
/// `#![cfg(test)]`.
fn mark_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        let inner = tokens[at].mark('#') && tokens.get(at + 1).is_some_and(|t| t.mark('!'));
        let Some(end) = attribute_end(tokens, at) else {
            at += 1;
            continue;
        };
        let words: Vec<&str> = tokens[at..end].iter().filter_map(Token::word).collect();
        let test = words == ["test"]
            || words[..] == ["cfg", "test"]
            || (words.starts_with(&["cfg", "all"])
                && words.contains(&"test")
                && !words.contains(&"not")
                && !words.contains(&"any"));
        let stop = match (test, inner) {
            (false, _) => end,
            (true, true) => tokens.len(),
            (true, false) => item_end(tokens, end),
        };
        if test {
            tokens[at..stop].iter_mut().for_each(|token| token.test = true);
        }
        at = stop;
    }
}

/// Where the attribute that begins at `at` ends, if one does.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    let open = at + 1 + usize::from(tokens.get(at + 1)?.mark('!'));
    (tokens[at].mark('#') && tokens.get(open)?.mark('[')).then(|| closing(tokens, open) + 1)
}

/// Where the bracket that opens at `open` closes.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.piece {
            Piece::Mark('(' | '[' | '{') => depth += 1,
            Piece::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}

/// Where the item that begins at `at` ends, its attributes included.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].piece {
            Piece::Mark(';') => return at + 1,
            Piece::Mark('{') => return closing(tokens, at) + 1,
            Piece::Mark('(' | '[') => at = closing(tokens, at) + 1,
            _ => at += 1,
        }
    }
    tokens.len()
}

/// A path as the compiler would resolve it from its root: `crate`, `std`, `core`, `alloc` or
/// `unlearn`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The root.
    pub root: String,
    /// What follows; `*` for a glob. Empty for the root itself.
    pub segments: Vec<String>,
    /// Its line.
    pub line: usize,
    /// Whether it stands in test code.
    pub test: bool,
}

const ROOTS: [&str; 5] = ["crate", "std", "core", "alloc", "unlearn"];

/// All rooted paths in `tokens`, the source of the module `module`, groups taken apart.
pub fn paths(tokens: &[Token], module: &[String]) -> Vec<Path> {
    let mut found = Vec::new();
    let mut here = module.to_vec();
    let mut open: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let named = at > 0 && tokens.get(at - 1).is_some_and(|t| t.is("mod"));
        match (&tokens[at].piece, tokens.get(at + 1).map(|t| &t.piece)) {
            (Piece::Word(name), Some(Piece::Mark('{'))) if named => {
                here.push(name.clone());
                open.push(true);
                at += 2;
                continue;
            }
            (Piece::Mark('{'), _) => open.push(false),
            (Piece::Mark('}'), _) => {
                let module = open.pop() == Some(true);
                here.truncate(here.len() - usize::from(module));
            }
            _ => {}
        }
        at = if starts_path(tokens, at) {
            tree(tokens, at, &here, None, &mut found)
        } else {
            at + 1
        };
    }
    found
}

fn starts_path(tokens: &[Token], at: usize) -> bool {
    let Some(word) = tokens[at].word() else { return false };
    let rooted = ROOTS.contains(&word) || word == "super" || word == "self";
    let goes_on = match tokens.get(at + 1).map(|t| &t.piece) {
        Some(Piece::Colons) => true,
        Some(Piece::Word(next)) => next == "as" && word != "self",
        _ => false,
    };
    let continues = at > 1
        && tokens[at - 1].piece == Piece::Colons
        && (tokens[at - 2].word().is_some_and(|w| !["use", "in", "as"].contains(&w))
            || tokens[at - 2].mark('>'));
    rooted && goes_on && !continues
}

/// Reads the path or tree of paths at `at`, below `before`; returns where it ends.
fn tree(
    tokens: &[Token],
    mut at: usize,
    here: &[String],
    before: Option<(String, Vec<String>)>,
    found: &mut Vec<Path>,
) -> usize {
    let Token { line, test, .. } = tokens[at];
    // `pub(in super::super)` may name the root: it widens nothing beyond this crate.
    let widens = at > 0 && tokens[at - 1].is("in");
    let mut path = before;
    while let Some(token) = tokens.get(at) {
        match &token.piece {
            Piece::Word(word) => match (word.as_str(), &mut path) {
                ("self", None) => path = Some(("crate".into(), here.to_vec())),
                ("super", None) => {
                    let above = here.len().saturating_sub(1);
                    path = Some(("crate".into(), here[..above].to_vec()));
                }
                (root, None) => path = Some((root.into(), Vec::new())),
                ("self", Some(_)) => {}
                ("super", Some((_, segments))) => drop(segments.pop()),
                (name, Some((_, segments))) => segments.push(name.into()),
            },
            Piece::Mark('*') => {
                if let Some((_, segments)) = &mut path {
                    segments.push("*".into());
                }
            }
            Piece::Mark('{') => {
                let end = closing(tokens, at);
                at += 1;
                while at < end {
                    at = tree(tokens, at, here, path.clone(), found);
                    while at < end && !tokens[at].mark(',') {
                        at += 1;
                    }
                    at += 1;
                }
                return end + 1;
            }
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token.piece != Piece::Colons) {
            break;
        }
        at += 1;
    }
    if let Some((root, segments)) = path
        && !(widens && segments.is_empty())
    {
        found.push(Path { root, segments, line, test });
    }
    at
}

/// Modules that `tokens` declare as files (`mod name;`), each with whether it is for tests only.
pub fn declared(tokens: &[Token]) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for three in tokens.windows(3) {
        if let [keyword, name, end] = three
            && keyword.is("mod")
            && end.mark(';')
        {
            found.extend(name.word().map(|word| (word.to_string(), name.test)));
        }
    }
    found
}
