//! Small files that ask for a great deal: they are refused with what they ask for, or run.

use std::time::Duration;

use blindspot_model::{Model, ModelError};
use blindspot_net::Budget;

/// A protocol buffer under construction, by field numbers.
#[derive(Default, Clone)]
struct Message(Vec<u8>);

impl Message {
    fn varint(mut self, mut number: u64) -> Message {
        while number >= 128 {
            self.0.push(number as u8 | 128);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    fn number(self, field: u64, value: i64) -> Message {
        self.varint(field << 3).varint(value as u64)
    }

    fn numbers(self, field: u64, values: &[i64]) -> Message {
        let list = |message: Message, &value: &i64| message.number(field, value);
        values.iter().fold(self, list)
    }

    fn bytes(self, field: u64, value: &[u8]) -> Message {
        let mut message = self.varint(field << 3 | 2).varint(value.len() as u64);
        message.0.extend(value);
        message
    }

    fn text(self, field: u64, value: &str) -> Message {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, value: Message) -> Message {
        self.bytes(field, &value.0)
    }
}

/// A model of images [n, 1, 8, 8] and its output `out`, under construction.
struct File(Message);

impl File {
    fn new() -> File {
        let sizes = [1i64, 1, 8, 8].map(|size| Message::default().number(1, size));
        let shape = sizes
            .into_iter()
            .fold(Message::default(), |shape, size| shape.message(1, size));
        let tensor = Message::default().number(1, 1).message(2, shape);
        let kind = Message::default().message(1, tensor);
        let input = Message::default().text(1, "x").message(2, kind);
        let output = Message::default().text(1, "out");
        File(Message::default().message(11, input).message(12, output))
    }

    /// A constant of integers.
    fn ints(self, name: &str, values: &[i64]) -> File {
        let data: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.tensor(name, &[values.len() as i64], 7, &data)
    }

    /// A constant of floats, all of them 0.5.
    fn floats(self, name: &str, shape: &[i64]) -> File {
        let count = shape.iter().product::<i64>() as usize;
        self.tensor(name, shape, 1, &0.5f32.to_le_bytes().repeat(count))
    }

    fn tensor(self, name: &str, shape: &[i64], kind: i64, data: &[u8]) -> File {
        let tensor = Message::default()
            .numbers(1, shape)
            .number(2, kind)
            .text(8, name);
        File(self.0.message(5, tensor.bytes(9, data)))
    }

    /// A node with lists of integers for attributes.
    fn node(self, op: &str, inputs: &[&str], output: &str, lists: &[(&str, &[i64])]) -> File {
        let node = inputs
            .iter()
            .fold(Message::default(), |node, name| node.text(1, name));
        let node = node.text(2, output).text(3, output).text(4, op);
        let node = lists.iter().fold(node, |node, (name, values)| {
            let attribute = match values {
                [one] => Message::default()
                    .text(1, name)
                    .number(3, *one)
                    .number(20, 2),
                list => Message::default()
                    .text(1, name)
                    .numbers(8, list)
                    .number(20, 7),
            };
            node.message(5, attribute)
        });
        File(self.0.message(1, node))
    }

    /// A constant of zeros in a shape.
    fn zeros(self, name: &str, shape: &[i64]) -> File {
        let sizes = format!("{name}/shape");
        self.ints(&sizes, shape)
            .node("ConstantOfShape", &[&sizes], name, &[])
    }

    /// What a value becomes: its largest number times ten weights.
    fn end(self, value: &str) -> File {
        self.node("GlobalMaxPool", &[value], "most", &[])
            .node("Flatten", &["most"], "flat", &[])
            .floats("weights", &[1, 10])
            .node("MatMul", &["flat", "weights"], "out", &[])
    }

    /// Ten weights for each number of the image, and a constant added to it before.
    fn plus(self, constant: &str) -> File {
        self.node("Flatten", &["x"], "flat", &[])
            .node("Add", &["flat", constant], "sum", &[])
            .floats("weights", &[64, 10])
            .node("MatMul", &["sum", "weights"], "out", &[])
    }

    fn bytes(self) -> Vec<u8> {
        let version = Message::default().number(2, 13);
        Message::default().message(7, self.0).message(8, version).0
    }
}

/// Reads a model with 500 MB and 2 seconds.
fn read(bytes: Vec<u8>) -> Result<Model, ModelError> {
    let budget = Budget {
        memory: 500_000_000,
        time: Duration::from_secs(2),
    };
    Model::options().budget(budget).read("hard.onnx", bytes)
}

/// Why a model is refused.
fn refused(name: &str, file: File) -> String {
    match read(file.bytes()) {
        Ok(_) => panic!("{name} is read"),
        Err(why) => why.to_string(),
    }
}

#[test]
fn what_asks_for_more_than_there_is_is_refused_with_the_number() {
    let large = 1 << 27;
    for (name, file, why) in [
        (
            "columns of a row",
            File::new()
                .ints("two", &[-1, 2, 32])
                .node("Reshape", &["x", "two"], "y", &[])
                .zeros("w", &[1, 2, 1 << 16])
                .node("Conv", &["y", "w"], "c", &[("pads", &[1 << 17, 1 << 17])])
                .end("c"),
            "GB for the columns of node `c`",
        ),
        (
            "padding",
            File::new()
                .ints("p", &[0, 0, 0, 0, 0, 0, (1 << 14) - 8, (1 << 13) - 8])
                .node("Pad", &["x", "p"], "y", &[])
                .end("y"),
            "GB for the values of an image",
        ),
        (
            "a window",
            File::new()
                .node(
                    "MaxPool",
                    &["x"],
                    "y",
                    &[("kernel_shape", &[1000, 1000]), ("pads", &[999; 4])],
                )
                .end("y"),
            "steps",
        ),
        (
            "classes",
            File::new()
                .node("Flatten", &["x"], "flat", &[])
                .zeros("w", &[64, 1 << 22])
                .node("MatMul", &["flat", "w"], "out", &[]),
            "1.07 GB for the weights of the network; 500 MB are allowed",
        ),
        (
            "a sum over a constant",
            File::new()
                .zeros("c", &[large])
                .node("ReduceSum", &["c"], "t", &[("keepdims", &[0])])
                .plus("t"),
            "for the constant",
        ),
        (
            "an expanded constant",
            File::new()
                .floats("one", &[1])
                .ints("e", &[large])
                .node("Expand", &["one", "e"], "c", &[])
                .node("ReduceSum", &["c"], "t", &[("keepdims", &[0])])
                .plus("t"),
            "GB for the numbers of `c`",
        ),
        (
            "a repeated constant",
            File::new()
                .floats("one", &[1])
                .ints("e", &[large])
                .node("Tile", &["one", "e"], "c", &[])
                .node("ReduceSum", &["c"], "t", &[("keepdims", &[0])])
                .plus("t"),
            "GB for the numbers of `c`",
        ),
        (
            "a padded constant",
            File::new()
                .floats("one", &[1])
                .ints("p", &[0, large])
                .node("Pad", &["one", "p"], "c", &[])
                .node("ReduceSum", &["c"], "t", &[("keepdims", &[0])])
                .plus("t"),
            "GB for the constant",
        ),
        (
            "a constant convolution",
            File::new()
                .zeros("a", &[1, 1, 2048, 2048])
                .zeros("w", &[1, 1, 512, 512])
                .node("Conv", &["a", "w"], "c", &[])
                .node("ReduceSum", &["c"], "t", &[("keepdims", &[0])])
                .plus("t"),
            "steps, more than the 2s that are allowed",
        ),
        (
            "axes",
            File::new()
                .tensor("t", &[1; 100], 1, &0.5f32.to_le_bytes())
                .plus("t"),
            "it has 100 axes, more than 64",
        ),
        (
            "steps of a recurrent layer",
            File::new()
                .ints("s", &[-1, 1, 1])
                .ints("e", &[1 << 20, 1, 1])
                .node("Expand", &["x", "e"], "long", &[])
                .node("Reshape", &["long", "s"], "steps", &[])
                .floats("w", &[1, 1, 1])
                .node("RNN", &["steps", "w", "w"], "y", &[("hidden_size", &[1])])
                .end("y"),
            "",
        ),
    ] {
        let found = refused(name, file);
        assert!(found.contains(why), "{name}: {found}");
    }
}

#[test]
fn empty_entries_are_counted_before_they_are_decoded() {
    let nodes = Message::default().message(1, Message::default());
    let graph = Message(nodes.0.repeat(2_000_000));
    let bytes = Message::default().message(7, graph).0;
    assert!(bytes.len() < 5_000_000);
    let why = read(bytes).unwrap_err().to_string();
    assert!(why.contains("GB for the file's nodes"), "{why}");
}

#[test]
fn long_sums_of_constants_end_with_the_time() {
    let mut file = File::new().zeros("c", &[1 << 22]);
    let names: Vec<String> = (0..20_000).map(|i| format!("s{i}")).collect();
    for name in &names {
        file = file.node("ReduceSum", &["c"], name, &[("keepdims", &[0])]);
    }
    for (i, pair) in names.windows(2).enumerate() {
        let before = if i == 0 {
            pair[0].clone()
        } else {
            format!("t{}", i - 1)
        };
        file = file.node("Add", &[&before, &pair[1]], &format!("t{i}"), &[]);
    }
    let why = refused("sums", file.plus(&format!("t{}", names.len() - 2)));
    assert!(why.contains("more than the 2s that are allowed"), "{why}");
}

#[test]
fn strides_of_any_size_and_types_that_do_not_fit_are_no_trouble() {
    let strided = |stride: i64| {
        let strides: &[i64] = &[stride, stride];
        File::new()
            .floats("w", &[1, 1, 3, 3])
            .node("Conv", &["x", "w"], "c", &[("strides", strides)])
            .end("c")
    };
    let model = read(strided(1 << 28).bytes()).unwrap();
    assert_eq!(model.output_len(), 10);
    let mixed = File::new()
        .tensor("nothing", &[0], 1, &[])
        .ints("minus", &[-1])
        .node("Concat", &["nothing", "minus"], "s", &[("axis", &[0])])
        .node("Reshape", &["x", "s"], "y", &[])
        .plus("s");
    let why = refused("an empty float and an integer", mixed);
    assert!(why.contains("Concat"), "{why}");
}

#[test]
fn a_chain_of_a_hundred_thousand_nodes_is_read_and_looked_through() {
    let mut file = File::new().node("Flatten", &["x"], "v0", &[]);
    for i in 0..30_000 {
        let (from, to) = (format!("v{i}"), format!("v{}", i + 1));
        file = file.node("Tanh", &[&from], &to, &[]);
    }
    let file = file.node("Identity", &["v30000"], "out", &[]);
    let model = read(file.bytes()).unwrap();
    assert_eq!(model.graph().nodes().len(), 30_001);
}
