//! `rasid tokenizer train` and `rasid tokenizer measure`.

use crate::error::{Error, Result};
use crate::tokens::Tokenizer;
use crate::tokens::corpus::{Source, each_line, sources};
use crate::tokens::fertility::Fertility;
use crate::tokens::train::{self, Kind, Recipe, WordCounts};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Trains and measures subword tokenizers.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Trains a tokenizer on raw text, one folder a language
    Train(TrainArgs),
    /// Tells how finely a tokenizer cuts raw text, by language
    Measure(MeasureArgs),
}

#[derive(Debug, clap::Args)]
struct CorpusArgs {
    /// Text files, plain or .gz, .xz, .zst, or folders with one folder a language
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    input: Vec<PathBuf>,
    /// Read only files of these names, without endings [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave out files of these names, without endings [default: none]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    leave_out: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct TrainArgs {
    #[command(flatten)]
    corpus: CorpusArgs,
    /// Entries of the vocabulary, special tokens included
    #[arg(long, default_value_t = 16384)]
    vocab_size: usize,
    /// The tokenizer.json to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// How words are cut
    #[arg(long, value_enum, default_value_t = KindArg::Unigram)]
    kind: KindArg,
    /// Lines drawn from each language [default: all]
    #[arg(long, value_name = "N")]
    lines_per_language: Option<usize>,
    /// Seed of the drawing of lines
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A language with the share p of all words weighs p^X: 1 as it is, 0 all alike
    #[arg(long, value_name = "X", default_value_t = 0.4)]
    exponent: f64,
    /// Count the words of a file of this name FACTOR times [default: 1 each]
    #[arg(long, value_name = "NAME=FACTOR", value_delimiter = ',', value_parser = parse_weight)]
    weight: Vec<(String, f64)>,
    /// Share of all characters that the vocabulary covers, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.99995)]
    coverage: f64,
    /// Different words looked at, the most frequent ones
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    max_words: usize,
}

#[derive(Debug, clap::Args)]
struct MeasureArgs {
    #[command(flatten)]
    corpus: CorpusArgs,
    /// The tokenizer.json to measure
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum KindArg {
    /// The likeliest cut under a unigram model of subwords
    Unigram,
    /// Byte-pair encoding on characters
    Bpe,
}

/// Does what the arguments say; what was measured goes to standard output.
///
/// # Errors
/// Text or tokenizer cannot be read, the output cannot be written, or the corpus is too poor for the vocabulary.
pub fn execute(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Train(args) => train(&args)?,
        Command::Measure(args) => {
            let table = measure(&args)?;
            std::io::stdout().write_all(table.as_bytes()).map_err(Error::io("write", "-"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn train(args: &TrainArgs) -> Result<()> {
    check(args)?;
    let files = chosen(&args.corpus)?;
    // refused here rather than after the training
    let folder = match args.output.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // not NamedTempFile::new, whose file nobody else may read
    let mut output = tempfile::Builder::new()
        .make_in(folder, |path| std::fs::File::create_new(path))
        .map_err(Error::io("create", &args.output))?;
    let counts = match args.lines_per_language {
        None => count_all(&files, &args.weight)?,
        Some(n_lines) => count_sample(&files, &args.weight, n_lines, args.seed)?,
    };
    let kind = match args.kind {
        KindArg::Unigram => Kind::Unigram,
        KindArg::Bpe => Kind::Bpe,
    };
    let recipe = Recipe {
        kind,
        vocab_size: args.vocab_size,
        exponent: args.exponent,
        coverage: args.coverage,
        max_words: args.max_words,
    };
    let json = train::train(&counts, &recipe)?;
    output.write_all(&json).map_err(Error::io("write", &args.output))?;
    output.persist(&args.output).map_err(|e| Error::io("write", &args.output)(e.error))?;
    Ok(())
}

fn check(args: &TrainArgs) -> Result<()> {
    let share = |name: &str, value: f64| match (0.0..=1.0).contains(&value) {
        true => Ok(()),
        false => Err(Error::Usage(format!("{name} is {value}; expected a number from 0 to 1"))),
    };
    share("--exponent", args.exponent)?;
    share("--coverage", args.coverage)
}

fn measure(args: &MeasureArgs) -> Result<String> {
    let tokenizer = Tokenizer::read(&args.tokenizer)?;
    let mut by_language: BTreeMap<String, Fertility> = BTreeMap::new();
    for file in chosen(&args.corpus)? {
        let fertility = by_language.entry(file.language).or_default();
        let mut outcome = Ok(());
        each_line(&file.path, |line| {
            if outcome.is_ok() {
                outcome = fertility.add(&tokenizer, line);
            }
        })?;
        outcome?;
    }
    let mut table = "| language | words | tokens a word or mark | tokens between spaces | unknown tokens % | characters a token |\n\
                     |---|---|---|---|---|---|\n"
        .to_owned();
    let shown = |value: Option<f64>, digits: usize| value.map_or("—".to_owned(), |v| format!("{v:.digits$}"));
    for (language, fertility) in by_language {
        table += &format!(
            "| {language} | {} | {} | {} | {} | {} |\n",
            fertility.n_words,
            shown(fertility.tokens_per_unit(), 3),
            shown(fertility.tokens_per_word(), 3),
            shown(fertility.unknown_share().map(|share| share * 100.0), 3),
            shown(fertility.characters_per_token(), 2),
        );
    }
    Ok(table)
}

fn chosen(corpus: &CorpusArgs) -> Result<Vec<Source>> {
    let mut files = sources(&corpus.input)?;
    files.retain(|file| corpus.only.is_empty() || corpus.only.contains(&file.name));
    files.retain(|file| !corpus.leave_out.contains(&file.name));
    if files.is_empty() {
        return Err(Error::Usage("no file of --input is left after --only and --leave-out".to_owned()));
    }
    Ok(files)
}

fn parse_weight(text: &str) -> std::result::Result<(String, f64), String> {
    let (name, factor) = text.split_once('=').ok_or("expected NAME=FACTOR, such as farsnews=2")?;
    match factor.parse::<f64>() {
        Ok(factor) if factor.is_finite() && factor >= 0.0 => Ok((name.to_owned(), factor)),
        _ => Err(format!("factor {factor:?} is not a number of 0 or more")),
    }
}

fn weight_of(weights: &[(String, f64)], file: &Source) -> f64 {
    weights.iter().find(|(name, _)| *name == file.name).map_or(1.0, |(_, factor)| *factor)
}

fn count_line(counts: &mut WordCounts, language: &str, line: &str, weight: f64) {
    if !counts.contains_key(language) {
        counts.insert(language.to_owned(), Default::default());
    }
    let Some(words) = counts.get_mut(language) else { return };
    for word in line.split_whitespace() {
        match words.get_mut(word) {
            Some(count) => *count += weight,
            None => {
                words.insert(word.to_owned(), weight);
            }
        }
    }
}

fn count_all(files: &[Source], weights: &[(String, f64)]) -> Result<WordCounts> {
    let mut counts = WordCounts::new();
    for file in files {
        let weight = weight_of(weights, file);
        each_line(&file.path, |line| count_line(&mut counts, &file.language, line, weight))?;
    }
    Ok(counts)
}

/// Lines of one language, drawn so far.
#[derive(Default)]
struct Reservoir {
    n_seen: usize,
    lines: Vec<(String, f64)>,
}

/// Counts `n_lines` lines of each language, drawn evenly in one pass (reservoir sampling, Vitter's algorithm R).
fn count_sample(files: &[Source], weights: &[(String, f64)], n_lines: usize, seed: u64) -> Result<WordCounts> {
    let mut drawn: BTreeMap<&str, Reservoir> = BTreeMap::new();
    let mut state = seed;
    for file in files {
        let weight = weight_of(weights, file);
        let Reservoir { n_seen, lines } = drawn.entry(&file.language).or_default();
        each_line(&file.path, |line| {
            *n_seen += 1;
            if lines.len() < n_lines {
                lines.push((line.to_owned(), weight));
            } else {
                let place = (next_random(&mut state) % *n_seen as u64) as usize;
                if place < n_lines {
                    lines[place] = (line.to_owned(), weight);
                }
            }
        })?;
    }
    let mut counts = WordCounts::new();
    for (language, reservoir) in &drawn {
        reservoir.lines.iter().for_each(|(line, weight)| count_line(&mut counts, language, line, *weight));
    }
    Ok(counts)
}

/// The next number of SplitMix64 (Steele, Lea and Flood 2014).
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Parser, Subcommand};

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn trains_on_folders_and_measures_by_language() {
        let dir = tempfile::tempdir().unwrap();
        for (language, text) in [("ar", "هجوم على القاعدة\n"), ("en", "attack on the base\nthe attack\n")]
        {
            std::fs::create_dir(dir.path().join(language)).unwrap();
            std::fs::write(dir.path().join(language).join("news.txt"), text.repeat(50)).unwrap();
        }
        let (corpus, output) = (dir.path().display().to_string(), dir.path().join("t.json").display().to_string());
        let run = |args: &[&str]| {
            let args = ["rasid"].iter().chain(args);
            execute(Args { command: Cli::try_parse_from(args).map_err(|e| e.to_string()).unwrap().command })
        };
        let train =
            |more: &[&str]| run(&[&["train", "--input", &corpus, "--output", &output, "--kind", "bpe"], more].concat());

        train(&["--vocab-size", "200", "--lines-per-language", "20", "--weight", "news=2"]).unwrap();
        let first = std::fs::read(&output).unwrap();
        train(&["--vocab-size", "200", "--lines-per-language", "20", "--weight", "news=2"]).unwrap();
        assert_eq!(first, std::fs::read(&output).unwrap());

        let message = |result: Result<ExitCode>| result.unwrap_err().to_string();
        assert!(message(train(&["--vocab-size", "9"])).starts_with("--vocab-size is 9; expected more than"));
        assert!(message(train(&["--exponent", "2"])).contains("from 0 to 1"));
        assert!(message(train(&["--leave-out", "news"])).starts_with("no file of --input is left"));
        assert_eq!(first, std::fs::read(&output).unwrap(), "a failed training leaves the file as it was");

        let args = ["rasid", "measure", "--input", &corpus, "--tokenizer", &output];
        let Command::Measure(args) = Cli::try_parse_from(args).map_err(|e| e.to_string()).unwrap().command else {
            panic!("not measure")
        };
        let table = measure(&args).unwrap();
        assert!(table.contains("| ar | 150 | 1.000 | 1.000 | 0.000 |"), "{table}");
        assert!(Command::has_subcommand("train"));
    }

    #[test]
    fn a_weight_is_a_name_and_a_factor() {
        assert_eq!(parse_weight("wiki=0.5"), Ok(("wiki".to_owned(), 0.5)));
        assert!(parse_weight("wiki").is_err() && parse_weight("wiki=-1").is_err() && parse_weight("wiki=x").is_err());
    }

    #[test]
    fn lines_are_drawn_evenly() {
        let dir = tempfile::tempdir().unwrap();
        let lines: String = (0..1000).map(|i| format!("{i}\n")).collect();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, lines).unwrap();
        let files = sources(&[path]).unwrap();
        let mut n_first_half = 0;
        for seed in 0..20 {
            let counts = count_sample(&files, &[], 100, seed).unwrap();
            let words = counts.values().next().unwrap();
            assert_eq!(words.len(), 100);
            n_first_half += words.keys().filter(|word| word.parse::<u32>().unwrap() < 500).count();
        }
        // 2000 draws: the standard deviation is about 22
        assert!((880..=1120).contains(&n_first_half), "{n_first_half}");
    }
}
