"""What a MiniCLIP is good for: pictures prepared as published, naming, retrieval, files, and a whole run."""

import csv
import gzip
import json
import shutil
from dataclasses import replace

import pytest
import torch
from ds_core import Callback
from ds_core.checks import Partial
from ds_core.text import Tokenizer, WordTokenizer
from ds_core.training import CheckpointError
from ds_core.training.files import load_tensors
from ds_zoo.cli import command_line
from ds_zoo.clip import MiniCLIP, MiniCLIPConfig
from ds_zoo.clip.captions import encode_captions
from ds_zoo.clip.data import FilePairs, matched, open_pairs, pair_batches
from ds_zoo.clip.tokenizer import CLIPTokenizer
from ds_zoo.clip.train import Recipe, evaluate, load, predict, save, scene_words, split_pairs, train, true_of
from ds_zoo.clip.visualize import embedding_map, flat_map, similarity_matrix
from ds_zoo.clip.zero_shot import ZeroShot, embed_captions, embed_images, retrieval, save_embeddings
from ds_zoo.data.processor import ImageProcessor
from ds_zoo.data.scenes import Scenes, write_scenes
from PIL import Image
from typer.testing import CliRunner

WORDS = ["a red circle", "a blue square", "a photo of a green star ."]


@pytest.fixture(scope="module")
def tokens():
    return WordTokenizer.train(WORDS)


@pytest.fixture(scope="module")
def model(tokens):
    config = MiniCLIPConfig.of_size(
        tokens.vocab_size,
        image_size=16,
        patch_size=8,
        width=16,
        layers=1,
        heads=2,
        eos_token_id=tokens.eos_id,
    )
    return MiniCLIP(config, generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def encode(tokens):
    return lambda sentences: encode_captions(tokens, sentences, 12)


def pictures(*sizes):
    draw = torch.Generator().manual_seed(3)
    return [torch.randint(256, (3, h, w), dtype=torch.uint8, generator=draw) for h, w in sizes]


# ---- pictures ------------------------------------------------------------------------------------------

FILES = [
    {"size": {"shortest_edge": 20}, "crop_size": {"height": 20, "width": 20}},
    {"size": 20, "crop_size": 20},  # old files
    {"size": {"shortest_edge": 20}, "crop_size": {"height": 32, "width": 24}, "resample": 2},  # a black rim
    {"size": {"height": 18, "width": 26}, "do_center_crop": False, "image_mean": [0.5, 0.4, 0.3]},
    {"do_resize": False, "crop_size": {"height": 15, "width": 16}, "image_std": [0.2, 0.3, 0.4]},
    {"size": 20, "crop_size": 16, "do_normalize": False},
    {"size": 20, "crop_size": 16, "do_rescale": False, "do_normalize": False},
    {"size": {"shortest_edge": 20}, "do_center_crop": False, "crop_size": None},
    {"size": {"shortest_edge": 20}, "do_center_crop": None, "crop_size": None},
    {"size": 20, "crop_size": 16, "do_normalize": None, "do_resize": None},
    {"do_resize": None, "size": None, "crop_size": 15, "do_normalize": False, "image_mean": None},
    {"size": [18, 26], "crop_size": [16, 17]},
]


@pytest.mark.parametrize("fields", FILES)
def test_pixels_are_those_of_the_published_processor(tmp_path, fields):
    clip = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(fields))
    theirs = clip.CLIPImageProcessorPil.from_pretrained(tmp_path)
    ours = ImageProcessor.load(tmp_path)
    for size in ((40, 31), (17, 50), (20, 20), (25, 24)):
        pixels = pictures(size)[0]
        image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        expected = theirs(image, return_tensors="pt")["pixel_values"].float()
        scale = expected.abs().max()
        assert (ours([image]) - expected).abs().max() <= 1e-6 * scale
        assert torch.equal(ours([pixels]), ours([image]))


@pytest.mark.parametrize("fields", [{}, {"size": 20}, {"size": {"height": 18, "width": 26}, "resample": 3}])
def test_pixels_are_those_of_the_published_processor_of_vit(fields):
    vit = pytest.importorskip("transformers.models.vit.image_processing_pil_vit")
    theirs = vit.ViTImageProcessorPil(**fields)
    ours = ImageProcessor.from_fields(fields, "ViTImageProcessor")
    for pixels in pictures((40, 31), (17, 50)):
        image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        expected = theirs(image, return_tensors="pt")["pixel_values"].float()
        assert (ours([pixels]) - expected).abs().max() <= 1e-6


@pytest.mark.parametrize(
    ("named", "fields"),
    [
        ("CLIPImageProcessor", {"size": {"shortest_edge": 20}, "crop_size": 18}),
        ("CLIPImageProcessorFast", {"size": 20, "crop_size": 18}),
        ("ViTImageProcessor", {"size": {"height": 18, "width": 26}}),
        ("ViTImageProcessorFast", {"size": 20, "crop_size": None, "do_center_crop": None}),
        ("ViTFeatureExtractor", {"size": 20}),
        ("DeiTFeatureExtractor", {}),
    ],
)
@pytest.mark.parametrize("kind", ["CLIPImageProcessor", "ViTImageProcessor"])
def test_a_file_says_whose_preparation_it_is(named, fields, kind):
    """Whatever the model: what the file leaves out is as its own processor has it."""
    transformers = pytest.importorskip("transformers")
    published = named.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast")
    theirs = getattr(transformers, f"{published}Pil")(**fields)
    ours = ImageProcessor.from_fields(fields | {"image_processor_type": named}, kind)
    assert ours == ImageProcessor.from_fields(fields | {"feature_extractor_type": named}, kind)
    assert ours.kind == published
    for pixels in pictures((40, 31), (17, 50)):
        image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        expected = theirs(image, return_tensors="pt")["pixel_values"].float()
        assert (ours([pixels]) - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_the_processor_is_written_and_read(tmp_path):
    for made in (ImageProcessor(), ImageProcessor.of_size(48), ImageProcessor((8, 9), None, resample=2)):
        made.save(tmp_path)
        assert ImageProcessor.load(tmp_path) == made


def test_mistakes_in_pictures(tmp_path):
    processor = ImageProcessor.of_size(16)
    with pytest.raises(ValueError, match="at least one picture"):
        processor([])
    with pytest.raises(ValueError, match=r"uint8 \(3, H, W\), got torch.float32 \(3, 4, 4\)"):
        processor([torch.zeros(3, 4, 4)])
    with pytest.raises(ValueError, match="different sizes do not make a batch"):
        ImageProcessor(16, None)(pictures((16, 16), (16, 20)))
    for fields, message in (
        ({"size": "large"}, "expected a size"),
        ({"image_mean": [0.5]}, "three means"),
        (
            {"image_processor_type": "ConvNextImageProcessor"},
            "expected image_processor_type .*'ConvNextImage",
        ),
    ):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(fields))
        with pytest.raises(ValueError, match=message):
            ImageProcessor.load(tmp_path)


# ---- captions ------------------------------------------------------------------------------------------


def test_captions_end_and_are_filled_up(tokens):
    ids = encode_captions(tokens, ["a red circle", "square"], 6)
    assert ids.shape == (2, 4)
    assert (ids == tokens.eos_id).int().argmax(1).tolist() == [3, 1]
    assert ids[1, 2:].tolist() == [tokens.pad_id] * 2


def test_padding_changes_nothing(model, encode):
    short = embed_captions(model, encode(["a red circle"]))
    among = embed_captions(model, encode(["a red circle", "a photo of a green star ."]))
    assert torch.allclose(short[0], among[0], atol=1e-6)


def test_mistakes_in_captions(tokens):
    long = "a red circle a blue square"
    with pytest.raises(ValueError, match="at most 5 tokens, got 6: 'a red circle a blue square'"):
        encode_captions(tokens, ["a", long], 6)
    cut = encode_captions(tokens, [long], 6, truncate=True)
    assert cut[0, -1] == tokens.eos_id
    assert cut.shape == (1, 6)
    with pytest.raises(ValueError, match="expected words, got '  '"):
        encode_captions(tokens, ["  "], 6)
    with pytest.raises(ValueError, match="at least one"):
        encode_captions(tokens, [], 6)


SENTENCES = [
    "A photo of a RED   circle.",
    "it's 2 dogs' 1,024 toys, isn't it?!",
    "caf\u00e9 \u00c9t\u00e9 na\u0131ve \u4e2d\u6587 \U0001f642",
    "tab\tand\nline",
    "x<|endoftext|>y",
    "unseen: zyzzyva_9",
]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with a small vocabulary in the published form."""
    library = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("published")
    bytes_ = sorted(library.pre_tokenizers.ByteLevel.alphabet())
    merges = [("r", "e"), ("re", "d</w>"), ("o", "f</w>"), ("c", "i"), ("ci", "r"), ("cir", "c"), ("p", "h")]
    pieces = [*bytes_, *(f"{byte}</w>" for byte in bytes_), *("".join(pair) for pair in merges)]
    vocabulary = {piece: number for number, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *map(" ".join, merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_captions_are_cut_as_published(published, tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.CLIPTokenizer.from_pretrained(published)
    ours = CLIPTokenizer.from_pretrained(published)
    ours.save_pretrained(tmp_path)
    again = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "vocab.json").unlink(missing_ok=True)  # tokenizer.json alone
    for sentence in SENTENCES:
        expected = theirs(sentence)["input_ids"]
        for tokenizer in (
            *(
                ours,
                CLIPTokenizer.from_pretrained(tmp_path),
                CLIPTokenizer.from_pretrained(tmp_path / "theirs"),
            ),
            Tokenizer.from_file_text(ours.file_text(), "here"),
        ):
            assert encode_captions(tokenizer, [sentence], 77)[0].tolist() == expected
            assert tokenizer.decode(tokenizer.encode(sentence)) == theirs.decode(
                [id for id in expected if id not in (ours.bos_id, ours.eos_id)]
            ) or ours.eos_id in ours.encode(sentence)
        assert again(sentence)["input_ids"] == expected
    padded = theirs(SENTENCES, padding=True, return_tensors="pt")["input_ids"]
    assert torch.equal(encode_captions(ours, SENTENCES, 77), padded)
    cut = theirs(SENTENCES, padding=True, truncation=True, max_length=9, return_tensors="pt")["input_ids"]
    assert torch.equal(encode_captions(ours, SENTENCES, 9, truncate=True), cut)


def test_mistakes_in_published_tokenizers(published, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither vocab\.json and merges\.txt nor tokenizer\.json"):
        CLIPTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks <\|startoftext\|> and <\|endoftext\|>"):
        CLIPTokenizer({"a": 0}, [])
    with pytest.raises(ValueError, match="not the merges of this vocabulary"):
        CLIPTokenizer({"<|startoftext|>": 0, "<|endoftext|>": 1}, [("a", "b")])
    shutil.copy(published / "vocab.json", tmp_path)
    (tmp_path / "merges.txt").write_text("r e d\n")
    with pytest.raises(ValueError, match=r"merges\.txt: expected two pieces a line, got 'r e d'"):
        CLIPTokenizer.from_pretrained(tmp_path)
    (tmp_path / "vocab.json").unlink()
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece"}}))
    with pytest.raises(ValueError, match=r"tokenizer\.json: expected pieces with </w>"):
        CLIPTokenizer.from_pretrained(tmp_path)


def test_a_published_folder_names_and_finds(published, tmp_path):
    """Weights and files of transformers; its words for probabilities."""
    transformers = pytest.importorskip("transformers")
    both = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    theirs = CLIPTokenizer.from_pretrained(published)
    text = both | {
        "vocab_size": theirs.vocab_size,
        "eos_token_id": theirs.eos_id,
        "bos_token_id": theirs.bos_id,
        "pad_token_id": theirs.pad_id,
    }
    config = transformers.CLIPConfig(
        text_config=text, vision_config=both | {"image_size": 16, "patch_size": 8}, projection_dim=8
    )
    torch.manual_seed(0)
    referee = transformers.CLIPModel(config).eval()
    referee.save_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path)
    ImageProcessor.of_size(16).save(tmp_path)
    loaded = load(tmp_path)
    for name, pixels in zip("ab", pictures((16, 20), (30, 16)), strict=True):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / f"{name}.png")
    files, labels = [str(tmp_path / "a.png"), str(tmp_path / "b.png")], ["a red circle", "A photo"]
    rows = predict(loaded, files, labels=",".join(labels))
    tokens = transformers.CLIPTokenizer.from_pretrained(tmp_path)(labels, padding=True, return_tensors="pt")
    pixels = loaded.processor([Image.open(file) for file in files])
    with torch.no_grad():
        expected = referee(**tokens, pixel_values=pixels).logits_per_image.softmax(1)
    assert [row["image"] for row in rows] == [file for file in files for _ in labels]
    scores = {(row["image"], row["label"]): row["score"] for row in rows}
    found = torch.tensor([[scores[file, label] for label in labels] for file in files])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert all(first["score"] >= second["score"] for first, second in zip(rows[::2], rows[1::2], strict=True))
    pairs = table(tmp_path, [("a.png", labels[0]), ("b.png", labels[1])])
    assert evaluate(loaded, data=str(pairs), among=2)["image to text, recall@5"] == 1
    save(loaded, tmp_path / "copy")
    assert predict(load(tmp_path / "copy"), files, labels=",".join(labels)) == rows
    small = tmp_path / "small"
    save(replace(loaded, tokenizer=CLIPTokenizer(theirs.vocabulary | {"more": 999}, theirs.merges)), small)
    with pytest.raises(ValueError, match=f"at most {theirs.vocab_size} tokens, as the model has, got"):
        load(small)


# ---- naming and finding --------------------------------------------------------------------------------


def test_zero_shot_is_the_softmax_over_labels(model, encode):
    pixels = ImageProcessor.of_size(16)(pictures((16, 16), (16, 16)))
    labels = ["a red circle", "a blue square"]
    namer = ZeroShot(model, encode, labels)
    with torch.no_grad():
        expected = model(encode(labels), pixels).logits_per_image.softmax(1)
    assert torch.allclose(namer.probabilities(pixels), expected, atol=1e-5)
    assert namer.classify(pixels) == [labels[k] for k in expected.argmax(1)]


def test_templates_make_an_ensemble(model, encode):
    namer = ZeroShot(model, encode, ["red", "blue"], ["a {} circle", "a photo of a {} star ."])
    parts = embed_captions(model, encode(["a red circle", "a photo of a red star ."]))
    mean = parts.mean(0)
    assert torch.allclose(namer.weight[0], mean / mean.norm(), atol=1e-6)
    assert torch.allclose(namer.weight.norm(dim=1), torch.ones(2))


def test_mistakes_in_labels(model, encode):
    for labels, templates, message in (
        (["a red circle"], ["{}"], "at least 2, to choose from, got .*its probability is 1"),
        (["red", "red"], ["{}"], "different ones"),
        (["red", "blue"], ["a circle"], "{} in each"),
    ):
        with pytest.raises(ValueError, match=message):
            ZeroShot(model, encode, labels, templates)


def test_recall_and_median_rank_by_hand():
    similarities = torch.tensor(
        [[0.9, 0.1, 0.2, 0.3], [0.8, 0.7, 0.1, 0.0], [0.5, 0.6, 0.4, 0.7], [0, 0, 0, 0]]
    )
    to_text, to_image = retrieval(similarities, ks=(1, 2))
    # Ranks of the own caption: 1, 2, 4, and 4 where all are equal; of the own image: 1, 1, 1, 3.
    assert to_text.recall == {1: 0.25, 2: 0.5}
    assert to_text.median_rank == 3.0
    assert to_image.recall == {1: 0.75, 2: 0.75}
    assert to_image.median_rank == 1.0
    right = torch.eye(4, dtype=torch.bool)
    right[1, 0] = True  # the first caption is true of the second image, too
    assert retrieval(similarities, right, ks=(1,))[0].recall == {1: 0.5}


def test_a_model_of_nan_finds_nothing():
    nan = torch.full((3, 3), torch.nan)
    for found in retrieval(nan, ks=(1, 3)):
        assert found.recall == {1: 0.0, 3: 1.0}
        assert found.median_rank == 3


def test_mistakes_in_retrieval():
    with pytest.raises(ValueError, match="as many images as captions"):
        retrieval(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="nothing is right for image 1"):
        retrieval(torch.zeros(2, 2), torch.tensor([[True, True], [False, False]]))
    with pytest.raises(ValueError, match="right of shape"):
        retrieval(torch.zeros(2, 2), torch.ones(3, 2, dtype=torch.bool))


def test_embeddings_go_to_a_file(tmp_path, model):
    vectors = embed_images(model, ImageProcessor.of_size(16)(pictures((16, 16), (16, 16))))
    save_embeddings(tmp_path / "e.safetensors", ["a.png", "b.png"], vectors)
    tensors, words = load_tensors(tmp_path / "e.safetensors")
    assert torch.equal(tensors["embeddings"], vectors)
    assert words["names"].splitlines() == ["a.png", "b.png"]
    save_embeddings(tmp_path / "odd.safetensors", ["a\nb.png", "\udcff.png"], vectors)  # as Linux allows
    assert load_tensors(tmp_path / "odd.safetensors")[1]["names"].splitlines() == [r"a\nb.png", r"\udcff.png"]
    with pytest.raises(ValueError, match="a name for each of 2 vectors, got 1"):
        save_embeddings(tmp_path / "e.safetensors", ["a.png"], vectors)


def test_pictures_of_what_it_learned(tmp_path, model, encode):
    plane = torch.randn(30, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 2.0])
    turned = plane @ torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))[0][:2]
    flat = flat_map(turned)
    flat, turned = flat.double(), turned.double()
    assert torch.allclose(torch.cdist(flat, flat), torch.cdist(turned, turned), atol=1e-4)
    images = pictures((16, 16), (16, 16), (16, 16))
    vectors, words = embed_images(model, ImageProcessor.of_size(16)(images)), WORDS
    texts = embed_captions(model, encode(words))
    similarity_matrix(vectors @ texts.mT, images, words, path=tmp_path / "s.png")
    embedding_map(vectors, texts, words, path=tmp_path / "m.png")
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("s.png", "m.png"))


# ---- pairs ---------------------------------------------------------------------------------------------


def table(folder, rows, columns=("path", "caption")):
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder / "pairs.csv"


def batch_of(rows, folder, encode):
    """Writes three pictures and a table of pairs; returns all pairs as a batch."""
    for name, pixels in zip("abc", pictures((16, 16), (20, 30), (16, 16)), strict=True):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{name}.png")
    pairs = open_pairs(str(table(folder, rows)))
    options = {"batch_size": len(rows), "width": 12, "pad": 0, "shuffle": False}
    (batch,) = list(pair_batches(pairs, ImageProcessor.of_size(16), encode, **options))
    return batch


def test_equal_captions_have_equal_numbers(tmp_path, encode):
    rows = [("a.png", "a red circle"), ("b.png", "a blue square"), ("c.png", "a red circle")]
    pixels, ids, numbers = batch_of(rows, tmp_path, encode)
    assert pixels.shape == (3, 3, 16, 16)
    assert ids.shape == (3, 4)
    assert numbers[0] == numbers[2] != numbers[1]


def test_captions_of_one_picture_are_no_rivals(tmp_path, encode):
    rows = [("a.png", "a red circle"), ("b.png", "a blue square"), ("./a.png", "a large circle")]
    _, _, numbers = batch_of(rows, tmp_path, encode)
    assert numbers[0] == numbers[2] != numbers[1]


def test_pairs_that_go_together_by_a_third_have_one_number():
    captions, pictures = torch.tensor([0, 1, 0, 2, 3]), torch.tensor([7, 8, 9, 9, 8])
    assert matched(captions, pictures).tolist() == [0, 1, 0, 0, 1]
    assert matched(captions, torch.arange(5)).tolist() == captions.tolist()


def test_mistakes_in_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        FilePairs(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="leads out of the folder"):
        FilePairs(table(tmp_path, [("../../etc/passwd", "words")]))
    with pytest.raises(ValueError, match=r"a column caption or text or .*got path, words"):
        FilePairs(table(tmp_path, [("a.png", "x")], ("path", "words")))
    with pytest.raises(ValueError, match="expected rows"):
        FilePairs(table(tmp_path, []))
    with pytest.raises(FileNotFoundError, match=r"b\.png: no such file"):
        FilePairs(table(tmp_path, [("b.png", "x")])).picture(0)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"b\.png"):
        FilePairs(table(tmp_path, [("b.png", "x")])).picture(0)
    with pytest.raises(ValueError, match=r"expected at least 8 pairs, .*got 1 of 1 pictures; lower batch_si"):
        split_pairs(Recipe(data=str(table(tmp_path, [("b.png", "x")])), batch_size=4))
    with pytest.raises(
        ValueError, match=r"pairs\.csv, line 3: expected a path and a caption, got 'b.png' and N"
    ):
        FilePairs(table(tmp_path, [("b.png", "x"), ("b.png", "")]))
    with pytest.raises(FileNotFoundError, match=r"pairs\.csv, line 3: .*c\.png: no such file"):
        FilePairs(table(tmp_path, [("b.png", "x"), ("c.png", "y")]))
    with pytest.raises(ValueError, match="expected a column french, got path, caption"):
        open_pairs(f"csv:{table(tmp_path, [('b.png', 'x')])}#french")
    path = tmp_path / "pairs.csv"
    path.write_text("path,caption\nb.png,a small, red circle\n")
    with pytest.raises(ValueError, match="line 2: expected 2 cells as in the first line, got 3"):
        FilePairs(path)
    path.write_bytes("path,caption\nb.png,caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"pairs\.csv, after line 1: not utf-8-sig text"):
        FilePairs(path)
    path.write_text("path,caption\nb.png," + "x" * 200_000)
    with pytest.raises(ValueError, match="line 2: field larger than field limit"):
        FilePairs(path)


def test_the_column_of_captions_may_be_named(tmp_path):
    (tmp_path / "b.png").write_bytes(b"no picture")
    path = table(tmp_path, [("b.png", "a cat", "un chat")], ("path", "caption", "french"))
    assert open_pairs(f"csv:{path}").caption(0) == "a cat"
    assert open_pairs(f"csv:{path}#french").caption(0) == "un chat"
    with gzip.open(tmp_path / "pairs.csv.gz", "wb") as packed:
        packed.write(path.read_bytes())
    assert open_pairs(f"csv:{tmp_path / 'pairs.csv.gz'}").caption(0) == "a cat"


def test_pictures_with_several_captions(tmp_path):
    """No picture is learned from and held back, and all its captions are right."""
    write_scenes(Scenes(30, size=16), tmp_path)
    recipe = Recipe(data=str(tmp_path / "captions.csv"), batch_size=8)
    parts = split_pairs(recipe)
    learned, kept = ({part.picture_id(number) for number in range(len(part))} for part in parts)
    assert len(learned) + len(kept) == 30
    assert not learned & kept
    assert 27 <= len(parts[1]) <= 27 + 9  # a tenth of 270, and no picture in part
    pairs = open_pairs(recipe.data)
    sentences = [pairs.caption(number) for number in range(18)]
    right = true_of(pairs, range(18), sentences)
    assert right[:9, :9].all()
    assert right[9:, 9:].all()
    assert right[0, 9:].tolist() == [sentence in sentences[:9] for sentence in sentences[9:]]


def test_a_data_set_of_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    images = [Image.fromarray(p.permute(1, 2, 0).numpy()) for p in pictures((16, 16), (16, 16))]
    data = datasets.Dataset.from_dict({"image": images, "text": ["one", "two"]})
    data.cast_column("image", datasets.Image()).save_to_disk(str(tmp_path / "d"))
    pairs = open_pairs(f"hf:{tmp_path / 'd'}")
    assert len(pairs) == 2
    assert pairs.caption(1) == "two"
    assert torch.equal(pairs.picture(1), pictures((16, 16), (16, 16))[1])
    assert open_pairs(f"hf:{tmp_path / 'd'}#text").caption(1) == "two"
    with pytest.raises(ValueError, match="expected a column title, got image, text"):
        open_pairs(f"hf:{tmp_path / 'd'}#title")
    for name, texts in (
        ("none", ["one", None]),
        ("lists", [["one", "two"], ["three"]]),
        ("few", [["one"], []]),
    ):
        data = datasets.Dataset.from_dict({"image": images, "text": texts})
        data.cast_column("image", datasets.Image()).save_to_disk(str(tmp_path / name))
    with pytest.raises(ValueError, match="row 1: expected a caption in column 'text', got None"):
        open_pairs(f"hf:{tmp_path / 'none'}")
    with pytest.raises(ValueError, match=r"row 1: expected a caption in column 'text', got \[\]"):
        open_pairs(f"hf:{tmp_path / 'few'}")
    pairs = open_pairs(f"hf:{tmp_path / 'lists'}")
    assert [pairs.caption(number) for number in range(3)] == ["one", "two", "three"]
    assert [pairs.picture_id(number) for number in range(3)] == [0, 0, 1]
    assert torch.equal(pairs.picture(1), pictures((16, 16), (16, 16))[0])


def test_what_is_true_of_a_scene():
    pairs = split_pairs(Recipe(image_size=16, batch_size=4))[1]
    numbers = range(8)
    right = true_of(pairs, numbers, [pairs.caption(number) for number in numbers])
    assert right.diagonal().all()
    assert not right.all()


def test_every_word_of_scenes_is_known():
    tokens = WordTokenizer.train(scene_words())
    for caption in Scenes(400, size=16, one_attribute=0.3, seed=77)["caption"]:
        assert tokens.unk_id not in tokens.encode(caption)


# ---- a run ---------------------------------------------------------------------------------------------

TINY = {"image_size": 16, "width": 16, "layers": 1, "text_layers": 1, "heads": 2, "batch_size": 8, "steps": 4}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return train(Recipe(**TINY, validate_every=2), out, progress=False)


def test_a_run_is_filled_and_read(run, tmp_path):
    names = {path.name for path in run.out.iterdir()}
    expected = {"recipe.toml", "config.json", "model.safetensors", "vocabulary.json", "log.csv", "loss.png"}
    assert names >= expected | {"preprocessor_config.json", "zero_shot.csv", "checkpoint.safetensors"}
    loaded = load(run.out)
    save(loaded, tmp_path)
    ids = loaded.encode(["a red circle"])
    with torch.no_grad():
        assert torch.equal(loaded.model.get_text_features(ids), load(tmp_path).model.get_text_features(ids))


def test_a_run_goes_on_as_if_never_interrupted(run, tmp_path):
    recipe = Recipe(**TINY, validate_every=2)

    class Stop(Callback):
        def on_step_end(self, trainer):
            if trainer.step == 2:
                trainer.stop("enough")

    train(recipe, tmp_path, progress=False, callbacks=[Stop()])
    again = train(recipe, tmp_path, progress=False, resume=True)
    assert all(map(torch.equal, again.model.parameters(), run.model.parameters()))
    assert again.accuracy == run.accuracy == train(recipe, tmp_path, progress=False, resume=True).accuracy


@pytest.fixture
def captions(tmp_path):
    """A table of twenty pictures, in a folder of its own."""
    (tmp_path / "data").mkdir()
    for number, pixels in enumerate(pictures(*[(16, 16)] * 20)):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / "data" / f"{number}.png")
    return table(tmp_path / "data", [(f"{number}.png", f"a picture of {number % 4}") for number in range(20)])


def test_a_run_on_files_goes_on_with_the_same_files_alone(captions, tmp_path):
    recipe = Recipe(data=str(captions), **TINY, validate_every=2)

    class Stop(Callback):
        def on_step_end(self, trainer):
            if trainer.step == 2:
                trainer.stop("enough")

    out = tmp_path / "out"
    train(recipe, out, progress=False, callbacks=[Stop()])
    moved = captions.parent.rename(tmp_path / "moved") / captions.name
    rows = moved.read_text().splitlines()
    names, sentences = zip(*(row.split(",") for row in rows[1:]), strict=True)
    for row, sentence in enumerate((*sentences[1:], sentences[0])):  # of one vocabulary
        rows[1 + row] = f"{names[row]},{sentence}"
    held = moved.read_text()
    moved.write_text("\n".join(rows))
    with pytest.raises(CheckpointError, match=r"settings\.data"):
        train(replace(recipe, data=str(moved)), out, progress=False, resume=True)
    moved.write_text(held)
    assert len(train(replace(recipe, data=str(moved)), out, progress=False, resume=True).history) > 0


def test_captions_are_read_before_anything_is_learned(captions, tmp_path):
    recipe, out = Recipe(data=str(captions), **TINY), tmp_path / "out"
    long = captions.read_text() + "0.png," + " ".join(["long"] * 40) + "\n"
    captions.write_text(long)
    steps = []

    class Count(Callback):
        def on_step_end(self, trainer):
            steps.append(trainer.step)

    with pytest.raises(ValueError, match="expected at most 15 tokens, got 40"):
        train(recipe, out, progress=False, callbacks=[Count()])
    assert not steps
    assert not out.exists()
    train(replace(recipe, truncate=True), out, progress=False)
    assert "text to image, recall@1" in evaluate(load(out), data=str(captions), among=21)  # as in training
    with pytest.raises(ValueError, match="expected at most 15 tokens, got 40"):
        evaluate(load(out), data=str(captions), among=21, truncate=False)
    assert "text to image, recall@1" in evaluate(load(out), among=8)
    captions.write_text(long + "0.png,more\n")
    with pytest.raises(ValueError, match="its data have changed since it was trained"):
        evaluate(load(out), among=8)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"images": -5}, "images: expected at least 1, got -5"),
        ({"swap": 2.0}, "swap: expected a number from 0 to 1, got 2.0"),
        ({"tint": -1.0}, "tint: expected a number from 0 to 1, got -1.0"),
        ({"swap": 0.5}, "swap: expected 0 unless data is scenes, got 0.5"),
    ],
)
def test_options_that_make_no_sense_are_refused(captions, tmp_path, option, said):
    with pytest.raises(ValueError, match=said):
        train(Recipe(data=str(captions), **TINY, **option), tmp_path / "out", progress=False)


def test_prediction_and_evaluation(run, tmp_path):
    loaded = load(run.out)
    Scenes(1, size=40)[0]["image"].save(tmp_path / "one.png")
    out, vectors = tmp_path / "answer.png", tmp_path / "v.safetensors"
    first, second = predict(
        loaded, [str(tmp_path / "one.png")], labels="a red circle, image", out=str(out),
        embeddings=str(vectors),
    )  # fmt: skip
    assert first["image"] == second["image"] == str(tmp_path / "one.png")
    assert first["score"] + second["score"] == pytest.approx(1)
    assert first["score"] >= second["score"]
    assert {first["label"], second["label"]} == {"a red circle", "image"}
    assert out.stat().st_size > 5000
    assert vectors.is_file()
    with pytest.raises(ValueError, match="expected --labels"):
        predict(loaded, [str(tmp_path / "one.png")])
    vectors.write_bytes(b"another's")
    with pytest.raises(ValueError, match="at least 2, to choose from"):
        predict(loaded, [str(tmp_path / "one.png")], labels="a red circle", embeddings=str(vectors))
    assert vectors.read_bytes() == b"another's"
    with pytest.raises(ValueError, match="'a cat' and 'a dog' are the same to the model"):
        predict(loaded, [str(tmp_path / "one.png")], labels="a cat,a dog")
    with pytest.raises(ValueError, match="among: expected at least 2, got 0"):
        evaluate(loaded, among=0)
    with pytest.raises(FileNotFoundError, match="no such file"):
        predict(loaded, [str(tmp_path / "none.png")], labels="a,b")

    pictures = [str(tmp_path / "none.png"), str(tmp_path / "one.png")]
    with pytest.raises(Partial, match=r"1 of 2 could .*\n.*none\.png: no such file") as told:
        predict(loaded, pictures, labels="a red circle, image", embeddings=str(vectors))
    assert told.value.result == [first, second]
    assert vectors.read_bytes() != b"another's"
    with pytest.raises(FileExistsError, match="is one of the pictures"):
        predict(loaded, pictures, labels="a red circle, image", out=pictures[1])
    with pytest.warns(UserWarning, match="does not know every word of 'a red zebra': their scores"):
        predict(loaded, pictures[1:], labels="a red circle,a red zebra")
    for wrong, message in (
        ({"out": str(tmp_path / "a.xyz")}, "expected the name of a picture"),
        ({"out": f"{tmp_path / 'folder'}/"}, "expected the name of a picture"),
        ({"out": str(out), "embeddings": str(out)}, "would be written twice"),
        ({"labels": None, "embeddings": str(vectors), "template": "a {}"}, "--template are of the answer"),
    ):
        with pytest.raises(ValueError, match=message):
            predict(loaded, pictures, **{"labels": "a red circle, image"} | wrong)
    with pytest.raises(ValueError, match="draws at most 200 pictures, got 201; leave it out"):
        predict(loaded, pictures[1:] * 201, labels="a red circle, image", out=str(out))

    write_scenes(Scenes(3, size=16), tmp_path / "scenes")
    found = evaluate(loaded, data=str(tmp_path / "scenes" / "captions.csv"), among=9)
    assert set(found) == {
        f"{way}, {what}"
        for way in ("image to text", "text to image")
        for what in ("recall@1", "recall@5", "recall@10", "median rank")
    }
    with pytest.raises(ValueError, match="at least 500 pairs, got 27"):
        evaluate(loaded, data=str(tmp_path / "scenes" / "captions.csv"), among=500)


def test_the_command_line_draws_scenes_and_names_them(run, tmp_path):
    runner, app = CliRunner(), command_line()
    told = runner.invoke(app, ["data", "scenes"])
    assert told.exit_code == 0
    assert "captions" in told.output
    written = runner.invoke(
        app, ["data", "scenes", "--out", str(tmp_path / "s"), "--count", "3", "--size", "40", "--shapes", "2"]
    )
    assert written.exit_code == 0, written.output
    image = next((tmp_path / "s" / "images").rglob("*.png"))
    named = runner.invoke(
        app, ["predict", str(run.out), str(image), "--labels", "a red circle,a blue square"]
    )
    assert named.exit_code == 0, named.output
    names, *rows = [line.split("\t") for line in named.output.splitlines()]
    assert names == ["image", "label", "score"]
    assert [row[0] for row in rows] == 2 * [str(image)]
    assert {row[1] for row in rows} == {"a red circle", "a blue square"}
    refused = runner.invoke(app, ["predict", str(run.out), str(image), "--labels", "a red circle"])
    assert refused.exit_code != 0
    assert "at least 2" in refused.output
