"""The same step in PyTorch, and both side by side: python benches/train_speed.py [rounds [shape…]]

Alternates `cargo bench --bench train_speed` with PyTorch (eager, fused AdamW, fp32 and bf16 autocast), the same shapes,
32 x 128 tokens without padding, two threads, dropout .1 in both: masked language modelling, 30 % of the tokens asked for, and
classifying by two heads on the mean of the tokens. Prints medians as a table, with the lowest and the highest.
"""
import os, statistics, subprocess, sys, time
import torch, torch.nn as nn, torch.nn.functional as F

VOCABULARY, SEQUENCES, TOKENS, STEPS, DROPOUT = 16_384, 32, 128, 2, 0.1
TASKS, CLASSES = ["mlm", "classifier"], [4, 7]
SHAPES = {"4x256": (4, 256, 384, 4), "6x256": (6, 256, 384, 4), "6x384": (6, 384, 576, 6)}


class Layer(nn.Module):
    def __init__(self, d, f, heads):
        super().__init__()
        self.heads = heads
        self.n1, self.n2 = nn.LayerNorm(d, bias=False), nn.LayerNorm(d, bias=False)
        self.qkv, self.o = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.wi, self.wo = nn.Linear(d, 2 * f, bias=False), nn.Linear(f, d, bias=False)

    def forward(self, x, cos, sin):
        b, n, d = x.shape
        q, k, v = self.qkv(self.n1(x)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        turn = lambda t: t * cos + torch.cat((-t.chunk(2, -1)[1], t.chunk(2, -1)[0]), -1) * sin
        y = F.scaled_dot_product_attention(turn(q).to(v.dtype), turn(k).to(v.dtype), v)
        x = x + F.dropout(self.o(y.transpose(1, 2).reshape(b, n, d)), DROPOUT)
        a, g = self.wi(self.n2(x)).chunk(2, -1)
        return x + F.dropout(self.wo(F.gelu(a) * g), DROPOUT)


class Network(nn.Module):
    def __init__(self, task, layers, d, f, heads):
        super().__init__()
        self.table, self.types = nn.Embedding(VOCABULARY, d), nn.Embedding(3, d)
        self.n0, self.n1 = (nn.LayerNorm(d, bias=False) for _ in range(2))
        self.layers = nn.ModuleList(Layer(d, f, heads) for _ in range(layers))
        if task == "mlm":
            self.dense, self.n2 = nn.Linear(d, d, bias=False), nn.LayerNorm(d, bias=False)
        else:
            self.heads = nn.ModuleList(nn.Linear(d, n) for n in CLASSES)
        angles = torch.outer(torch.arange(TOKENS), 10_000.0 ** -(torch.arange(0, d // heads, 2) / (d // heads))).repeat(1, 2)
        self.cos, self.sin = angles.cos(), angles.sin()

    def encode(self, ids):
        x = F.dropout(self.n0(self.table(ids) + self.types(torch.zeros_like(ids))), DROPOUT)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return self.n1(x)

    def mlm(self, ids):
        asked = (torch.rand(ids.numel()) < 0.3).nonzero()[:, 0]
        h = self.n2(F.gelu(self.dense(self.encode(ids).flatten(0, 1)[asked])))
        return F.cross_entropy((h @ self.table.weight.T).float(), ids.flatten()[asked])

    def classifier(self, ids):
        pooled = F.dropout(self.encode(ids).mean(1), DROPOUT)
        losses = (F.cross_entropy(head(pooled).float(), torch.arange(len(ids)) % head.out_features) for head in self.heads)
        return sum(losses)


def torch_rate(task, shape, bf16):
    network = Network(task, *SHAPES[shape])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    for step in range(STEPS + 1):
        if step == 1:
            clock, processor = time.perf_counter(), time.process_time()
        ids = torch.randint(VOCABULARY, (SEQUENCES, TOKENS))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = getattr(network, task)(ids)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    n = STEPS * SEQUENCES * TOKENS
    return n / (time.perf_counter() - clock), n / (time.process_time() - processor)


def rasid_rate(task, shape, precision):
    command = ["cargo", "bench", "--quiet", "--bench", "train_speed", "--", task, shape, precision]
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(line[3]), float(line[4])


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    shapes = sys.argv[2:] or list(SHAPES)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    who = {
        "rasid f32": lambda *of: rasid_rate(*of, "f32"),
        "rasid bf16": lambda *of: rasid_rate(*of, "bf16"),
        "torch fp32": lambda *of: torch_rate(*of, False),
        "torch bf16": lambda *of: torch_rate(*of, True),
    }
    columns = [(task, shape) for task in TASKS for shape in shapes]
    rates = {(name, column): [] for name in who for column in columns}
    loads = []
    for _ in range(rounds):
        for column in columns:
            for name, rate in who.items():
                rates[name, column].append(rate(*column))
                loads.append(os.getloadavg()[0])
                print(*column, name, *(f"{r:.0f}" for r in rates[name, column][-1]), file=sys.stderr, flush=True)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, median of {rounds}; load {min(loads):.1f} to {max(loads):.1f}")
    for i, unit in enumerate(["tokens/s by the clock", "tokens a second of processor time (one core)"]):
        print(f"\n| {unit} | " + " | ".join(" ".join(c) for c in columns) + " |\n|---" + "|---" * len(columns) + "|")
        for name in who:
            values = [[r[i] for r in rates[name, c]] for c in columns]
            print(f"| {name} | " + " | ".join(f"{statistics.median(v):,.0f} ({min(v):,.0f} to {max(v):,.0f})" for v in values) + " |")


if __name__ == "__main__":
    main()
