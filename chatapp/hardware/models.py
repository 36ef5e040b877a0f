"""Models: their shapes, and the parameters that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

from chatapp.hardware.facts import FactBook, Record
from chatapp.hardware.precision import Precision, precision


@dataclass(frozen=True, slots=True)
class Model:
    """The shape of a transformer. Counts and widths are of the published config."""

    name: str
    label: str
    layers: int
    dense_layers: int
    """Layers without experts; all of them in a dense model."""
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    ffn_matrices: int
    """3 with a gated activation, 2 without."""
    experts: int
    experts_per_token: int
    shared_experts: int
    moe_intermediate: int
    q_lora_rank: int
    kv_lora_rank: int
    """Above 0: multi-head latent attention (MLA)."""
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    vocab: int
    context: int
    sliding_window: int
    """Above 0: every other layer looks back only this far."""
    tied_embeddings: bool
    thinks: bool
    kind: str
    """full, small, distilled or quantized: what it stands for in the comparison of small against fast."""
    precision_name: str
    record: Record

    @property
    def latent(self) -> bool:
        """Whether attention is MLA: one small latent vector a token instead of keys and values of each head."""
        return self.kv_lora_rank > 0

    @property
    def moe_layers(self) -> int:
        """Layers with experts."""
        return self.layers - self.dense_layers

    def precision(self, name: str = "") -> Precision:
        """Return a precision for this model; its native one without a name."""
        return precision(name or self.precision_name, experts=self.experts > 0)

    @property
    def attention_params(self) -> float:
        """Parameters of one layer's attention."""
        if self.latent:
            query = self.hidden * self.q_lora_rank + self.q_lora_rank * self.heads * (
                self.qk_nope_head_dim + self.qk_rope_head_dim
            )
            latent = self.hidden * (self.kv_lora_rank + self.qk_rope_head_dim)
            expand = self.kv_lora_rank * self.heads * (self.qk_nope_head_dim + self.v_head_dim)
            return query + latent + expand + self.heads * self.v_head_dim * self.hidden
        return self.hidden * self.head_dim * (self.heads + 2 * self.kv_heads) + self.heads * self.head_dim * self.hidden

    @property
    def expert_params(self) -> float:
        """Parameters of one expert in one layer."""
        return 3.0 * self.hidden * self.moe_intermediate

    @property
    def dense_ffn_params(self) -> float:
        """Parameters of the feed-forward part of one layer without experts."""
        return float(self.ffn_matrices * self.hidden * self.intermediate)

    @property
    def head_params(self) -> float:
        """Parameters of the output head; the input embedding has as many, and is looked up, not read."""
        return float(self.vocab * self.hidden)

    @property
    def other_params(self) -> float:
        """Parameters that every token reads, apart from the head: attention, dense and shared feed-forward, routers."""
        shared = self.moe_layers * self.shared_experts * self.expert_params
        routers = self.moe_layers * self.hidden * self.experts
        dense = self.dense_layers * self.dense_ffn_params if self.experts else 0.0
        return self.layers * self.attention_params + dense + shared + routers

    @property
    def ffn_params(self) -> float:
        """Parameters that the expert precision applies to: all routed experts, or all dense feed-forward layers."""
        if self.experts:
            return self.moe_layers * self.experts * self.expert_params
        return self.layers * self.dense_ffn_params

    @property
    def total_params(self) -> float:
        """All parameters of the text model."""
        return self.other_params + self.ffn_params + self.head_params * (1 if self.tied_embeddings else 2)

    @property
    def active_params(self) -> float:
        """Parameters that one token multiplies with; the output head counted, the input embedding not."""
        share = self.experts_per_token / self.experts if self.experts else 1.0
        return self.other_params + self.ffn_params * share + self.head_params


def read_model(record: Record) -> Model:
    """Build a model from its facts.

    Raises:
        SourceError: a value is missing, impossible, or contradicts another; with file and line.
    """
    layers = record.whole("layers")
    experts = record.whole("experts", 0)
    heads = record.whole("heads")
    model = Model(
        name=record.name,
        label=record.text("label", record.name),
        layers=layers,
        dense_layers=record.whole("dense_layers", 0 if experts else layers),
        hidden=record.whole("hidden"),
        heads=heads,
        kv_heads=record.whole("kv_heads", heads),
        head_dim=record.whole("head_dim", 0),
        intermediate=record.whole("intermediate", 0),
        ffn_matrices=record.whole("ffn_matrices", 3),
        experts=experts,
        experts_per_token=record.whole("experts_per_token", 0),
        shared_experts=record.whole("shared_experts", 0),
        moe_intermediate=record.whole("moe_intermediate", 0),
        q_lora_rank=record.whole("q_lora_rank", 0),
        kv_lora_rank=record.whole("kv_lora_rank", 0),
        qk_nope_head_dim=record.whole("qk_nope_head_dim", 0),
        qk_rope_head_dim=record.whole("qk_rope_head_dim", 0),
        v_head_dim=record.whole("v_head_dim", 0),
        vocab=record.whole("vocab"),
        context=record.whole("context"),
        sliding_window=record.whole("sliding_window", 0),
        tied_embeddings=record.whole("tied_embeddings", 0) == 1,
        thinks=record.plain.get("thinks") is True,
        kind=record.text("kind", "full"),
        precision_name=record.text("precision"),
        record=record,
    )
    _check(record, model)
    return model


def _check(record: Record, model: Model) -> None:
    for key in ("layers", "hidden", "heads", "kv_heads", "vocab", "context"):
        if getattr(model, key) < 1:
            raise record.fail(key, "must be 1 or more")
    if not model.latent and model.head_dim < 1:
        raise record.fail("head_dim", "is missing (a model without kv_lora_rank needs it)")
    if model.heads % model.kv_heads:
        raise record.fail("kv_heads", f"must divide heads ({model.heads})")
    if model.dense_layers > model.layers:
        raise record.fail("dense_layers", f"is more than layers ({model.layers})")
    if model.dense_layers and not model.intermediate:
        raise record.fail("intermediate", "is missing (the model has dense layers)")
    if model.experts:
        if not 1 <= model.experts_per_token <= model.experts:
            raise record.fail("experts_per_token", f"must lie between 1 and experts ({model.experts})")
        if not model.moe_intermediate:
            raise record.fail("moe_intermediate", "is missing (the model has experts)")
    elif model.dense_layers < model.layers:
        raise record.fail("experts", "is missing (not all layers are dense)")
    try:
        model.precision()
    except Exception as exc:
        raise record.fail("precision", str(exc)) from None


def find_model(facts: FactBook, name: str) -> Model:
    """Return a model by name or alias.

    Raises:
        UnknownNameError: there is none; names the nearest.
    """
    return read_model(facts.model(name))
