"""PyTorch as a contender of `smith bench`: what a user would write, eager, in the same race.

    pip install torch            # in an environment of its own
    smith bench --spec elementwise --device cuda:0 --peer "python3 tools/peer_torch.py"
    smith bench --spec attention --device cuda:0 --peer "python3 tools/peer_torch.py --attention flash"

`--attention` names the backend of scaled_dot_product_attention (math, flash, efficient or cudnn; without it PyTorch
chooses); for more than one, give --peer more than once.

It speaks the protocol of crates/lab/src/peer.rs: one JSON object a line. On a GPU a sample is a
recorded CUDA graph between two events, on the CPU a loop between two readings of the clock; `cold`
rotates inputs that fill `cold_bytes` together, with an output for each. An expression is run operation by operation, as eager
PyTorch does; products take their bias and activation the same way.
"""

import argparse
import json
import re
import sys
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import causal_lower_right

BACKENDS = {
    "math": SDPBackend.MATH, "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION,
}
arguments = argparse.ArgumentParser(description="PyTorch as a contender of `smith bench`")
arguments.add_argument("--attention", choices=sorted(BACKENDS), help="backend of scaled_dot_product_attention")
BACKEND = arguments.parse_args().attention

DTYPES = {
    "f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16,
    "i32": torch.int32, "u8": torch.uint8, "bool": torch.bool,
}
SAMPLE_S = {"cuda": 150e-6, "cpu": 3e-3}  # length of a sample that is aimed at


class Unsupported(Exception):
    pass


# Expressions: the text of a problem's `expr` and `post`, as Python over tensors.
def where(condition, x, y):
    return torch.where(condition.bool() if torch.is_tensor(condition) else torch.tensor(bool(condition)), x, y)


def number(f):
    """Comparisons give 0 and 1 of the operands' type."""
    return lambda x, y: f(x, y).to(x.dtype if torch.is_tensor(x) else y.dtype)


FUNCTIONS = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "div": lambda x, y: x / y,
    "neg": lambda x: -x, "pow": torch.pow, "select": where,
    "max": lambda x, y: torch.clamp_min(x, y) if not torch.is_tensor(y) else torch.maximum(x, y),
    "min": lambda x, y: torch.clamp_max(x, y) if not torch.is_tensor(y) else torch.minimum(x, y),
    "lt": number(lambda x, y: x < y), "le": number(lambda x, y: x <= y),
    "eq": number(lambda x, y: x == y), "ne": number(lambda x, y: x != y),
    "relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "silu": F.silu, "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    **{f: getattr(torch, f) for f in ("abs", "exp", "log", "sqrt", "rsqrt", "sin", "cos", "erf", "floor")},
}


def expression(text, names):
    """A function of the tensors in `names`, or None for the first of them itself."""
    if text is None or text == names[0]:
        return None
    used = set(re.findall(r"[A-Za-z_]\w*", text))
    unknown = used - set(FUNCTIONS) - set(names)
    if unknown:
        raise Unsupported(f"the expression's {', '.join(sorted(unknown))}")
    if not re.fullmatch(r"[\w\s(),.+-]*", text):
        raise Unsupported(f"the expression {text}")
    code = compile(f"lambda {', '.join(names)}: {text}", "expression", "eval")
    return eval(code, {**FUNCTIONS, "__builtins__": {}})  # noqa: S307: names and characters were checked


# Ops: from a problem's fields to (name, function of the operands' tensors).
def fields_of(text):
    """key=value pairs; a value may hold commas within brackets."""
    out, depth, start = {}, 0, 0
    parts = []
    for i, c in enumerate(text + ","):
        depth += (c in "([") - (c in ")]")
        if c == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    for part in parts:
        key, _, value = part.partition("=")
        out[key] = value
    return out


def gemm(f, names):
    if f.get("alpha", "1.0") not in ("1", "1.0") or "beta" in f and float(f["beta"]) != 0:
        raise Unsupported("alpha or beta")
    chain = [s for s in f.get("epilogue", "").split("+") if s]
    activations = {k: FUNCTIONS[k] for k in ("relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh")}
    unknown = [s for s in chain if s not in ("bias", "residual") and s not in activations]
    if unknown:
        raise Unsupported(f"epilogue {unknown[0]}")
    if f.get("compute", "default") == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = True
    else:
        torch.backends.cuda.matmul.allow_tf32 = False
    finish = expression(f.get("expr"), ["v"] + names[2:])
    first_bias = bool(chain) and chain[0] == "bias"

    def run(a, b, *rest):
        rest = list(rest)
        plain = a.shape[0] == 1
        a, b = (a[0], b[0]) if plain else (a, b)
        if first_bias and plain:
            y = torch.addmm(rest.pop(0)[0], a, b)
        else:
            y = torch.matmul(a, b)
        y = y[None] if plain else y
        for s in chain[1:] if first_bias and plain else chain:
            y = activations[s](y) if s in activations else y + rest.pop(0)
        return finish(y, *rest) if finish else y

    return "torch.addmm" if first_bias else "torch.matmul", run


def elementwise(f, names):
    finish = expression(f["expr"], names)
    calls = len(re.findall(r"\w+\(", f["expr"]))
    name = f["expr"].split("(")[0] if calls == 1 else f"{calls} functions"
    return f"torch {name}", (lambda *xs: finish(*xs)) if finish else (lambda x, *_: x.clone())


def reduction(f, names):
    kind = f["kind"]
    functions = {"sum": torch.sum, "max": torch.amax, "min": torch.amin, "argmax": torch.argmax, "argmin": torch.argmin}
    before = expression(f.get("expr"), names)
    after = expression(f.get("post"), ["v"] + names)
    outer = 0 if f["outer"] == "scalar" else len(f["outer"].split("x"))

    def run(*xs):
        x = before(*xs) if before else xs[0]
        dims = tuple(range(outer, x.dim()))
        if kind.startswith("arg"):
            y = functions[kind](x.flatten(outer), dim=outer)
        elif kind == "sum":
            y = torch.sum(x, dims, dtype=x.dtype)
        elif outer == 0:
            y = (torch.max if kind == "max" else torch.min)(x)
        else:
            y = functions[kind](x, dims)
        return after(y, *xs) if after else y

    return f"torch.{kind}", run


def rows(f, names):
    kind, eps = f["kind"], float(f.get("eps", 0))
    if "label" in f and kind != "cross_entropy":
        raise Unsupported("a gradient's label")
    before, after = expression(f.get("expr"), names), expression(f.get("post"), ["v"] + names)
    functions = {
        "softmax": lambda x: torch.softmax(x, -1),
        "log_softmax": lambda x: torch.log_softmax(x, -1),
        "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:], eps=eps),
        "rms_norm": lambda x: F.rms_norm(x, x.shape[-1:], eps=eps),
    }

    def run(*xs):
        x = before(*xs) if before else xs[0]
        if kind == "cross_entropy":
            labels = xs[int(f["label"])][..., 0].long()
            y = F.cross_entropy(x, labels, reduction="none")
        else:
            y = functions[kind](x)
        return after(y, *xs) if after else y

    return f"torch {kind}", run


def gather(f, names):
    axis = int(f["axis"])

    def run(x, index):
        if all(s == 0 or n == 1 for d, (s, n) in enumerate(zip(index.stride(), index.shape)) if d != axis):
            line = index[tuple(slice(None) if d == axis else 0 for d in range(index.dim()))]
            return torch.index_select(x, axis, line)
        return torch.gather(x, axis, index.long())

    return "torch.index_select", run


def attention(f, names):
    options = {"scale": float(f["scale"])} if "scale" in f else {}
    if f.get("kv_heads", f["heads"]) != f["heads"]:
        options["enable_gqa"] = True
    queries, keys = int(f["queries"]), int(f["keys"])
    # One query sees all keys. `is_causal` ends the triangle at the upper left.
    causal = f.get("causal") == "1" and queries > 1
    square = queries == keys

    def run(q, k, v):
        mask = causal_lower_right(queries, keys) if causal and not square else None
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal and square, **options)

    if BACKEND is None:
        return "torch scaled_dot_product_attention", run

    def on_backend(*xs):
        with sdpa_kernel(BACKENDS[BACKEND]):
            return run(*xs)

    return f"torch scaled_dot_product_attention, {BACKEND}", on_backend


OPS = {
    "gemm": gemm, "map": elementwise, "reduce": reduction, "row": rows, "gather": gather, "attention": attention,
}


class Bench:
    """A problem that is ready to be run and sampled."""

    def __init__(self, request):
        if request["op"] not in OPS:
            raise Unsupported(f"the op {request['op']}")
        self.kind = "cuda" if request["device"].startswith("cuda") else "cpu"
        self.device = torch.device(request["device"])
        self.operands = request["operands"]
        names = [o["name"] for o in self.operands[:-1]]
        self.name, self.run = OPS[request["op"]](fields_of(request["problem"]), names)
        self.name = f"{self.name} (PyTorch {torch.__version__})"
        size = sum(o["span"] * DTYPES[o["dtype"]].itemsize for o in self.operands)
        cold = request["mode"] == "cold"
        count = max(2, min(512, -(-request["cold_bytes"] // max(size, 1)))) if cold else 1
        self.sets = [[self.filled(o) for o in self.operands[:-1]] for _ in range(count)]
        # Outputs stay alive for as many launches as the lab gives each launch memory of its own:
        # an allocator that hands out the same block again would keep it in the cache.
        out = self.operands[-1]
        size = max(1, out["span"] * DTYPES[out["dtype"]].itemsize)
        self.kept = [None] * (count if cold else max(1, min(256, request["hot_bytes"] // size)))
        self.graph = None
        with torch.no_grad():
            self.run(*self.sets[0])
            self.synchronize()
            start = time.perf_counter()
            for _ in range(3):
                self.run(*self.sets[0])
            self.synchronize()
            each = max((time.perf_counter() - start) / 3, 1e-6)
            self.launches = max(1, min(256, round(SAMPLE_S[self.kind] / each)))
            if cold:
                self.launches = max(self.launches, len(self.sets)) if self.kind == "cuda" else self.launches
            self.next = 0
            if self.kind == "cuda":
                self.record()

    def filled(self, operand):
        dtype = DTYPES[operand["dtype"]]
        if operand["below"] is not None:
            flat = torch.randint(0, operand["below"], (operand["span"],), dtype=dtype, device=self.device)
        elif dtype.is_floating_point:
            flat = torch.randn(operand["span"], device=self.device).to(dtype)
        else:
            flat = torch.randint(0, 2, (operand["span"],), device=self.device).to(dtype)
        return self.view(flat, operand)

    def view(self, flat, operand):
        if any(s < 0 for s in operand["strides"]):
            raise Unsupported("a reversed view")
        return torch.as_strided(flat, operand["shape"], operand["strides"], operand["offset"])

    def synchronize(self):
        if self.kind == "cuda":
            torch.cuda.synchronize()

    def launch(self, i):
        self.kept[i % len(self.kept)] = self.run(*self.sets[i % len(self.sets)])

    def record(self):
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for s in self.sets[:2]:
                self.run(*s)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream):
            for i in range(self.launches):
                self.launch(i)
        self.graph.replay()
        torch.cuda.synchronize()

    @torch.no_grad()
    def sample(self):
        if self.graph is not None:
            begin, end = torch.cuda.Event(True), torch.cuda.Event(True)
            begin.record()
            self.graph.replay()
            end.record()
            torch.cuda.synchronize()
            return begin.elapsed_time(end) * 1e3 / self.launches
        # After a pause cores sleep: what comes before the clock's first reading wakes them.
        for i in range(self.launches):
            self.launch(self.next + i)
        self.next += self.launches
        start = time.perf_counter()
        for i in range(self.launches):
            self.launch(self.next + i)
        elapsed = time.perf_counter() - start
        self.next += self.launches
        return elapsed * 1e6 / self.launches

    @torch.no_grad()
    def once(self, inputs, output):
        xs = []
        for path, operand in zip(inputs, self.operands):
            data = bytearray(open(path, "rb").read())
            flat = torch.frombuffer(data, dtype=DTYPES[operand["dtype"]]) if data else torch.empty(0)
            xs.append(self.view(flat.to(self.device), operand))
        to = self.operands[-1]
        flat = torch.zeros(to["span"], dtype=DTYPES[to["dtype"]])
        y = self.run(*xs).to("cpu", flat.dtype)
        self.view(flat, to).copy_(y.reshape(to["shape"]))
        with open(output, "wb") as file:
            file.write(flat.view(torch.uint8).numpy().tobytes())


def main():
    bench = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["ask"] == "prepare":
                bench = None
                if request["device"].startswith("cuda"):
                    torch.cuda.empty_cache()
                bench = Bench(request)
                answer = {"answer": "prepared", "name": bench.name}
            elif request["ask"] == "run":
                bench.once(request["inputs"], request["output"])
                answer = {"answer": "ran"}
            else:
                answer = {"answer": "sample", "us": bench.sample()}
        except Unsupported as reason:
            answer = {"answer": "unsupported", "reason": str(reason)}
        except (RuntimeError, TypeError, ValueError) as error:
            answer = {"answer": "unsupported", "reason": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answer), flush=True)


main()
