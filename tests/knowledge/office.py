"""Documents of Word, Excel, PowerPoint and OpenDocument, written by hand: what a reader looks at, and no more."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

CONTENT_TYPES = b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"
_S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
_ODF = "urn:oasis:names:tc:opendocument:xmlns:{}:1.0"


def zipped(parts: Mapping[str, bytes | str]) -> bytes:
    """A ZIP archive of these parts, in order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def relations(targets: Mapping[str, str]) -> str:
    """A part of relations: id to (kind and) target."""
    inner = "".join(
        f'<Relationship Id="{key}" Type="{_R}/{key.rstrip("0123456789")}" Target="{target}"/>'
        for key, target in targets.items()
    )
    return f'<Relationships xmlns="{_RELS}">{inner}</Relationships>'


def word_document(body: str) -> str:
    """The main part of a Word document."""
    return f'<w:document xmlns:w="{_W}" xmlns:mc="urn:mc"><w:body>{body}</w:body></w:document>'


def docx(document: str, *, more: Mapping[str, bytes | str] | None = None) -> bytes:
    """A Word document of this main part; `more` parts may be styles, numbering and notes."""
    kinds = ("styles", "numbering", "footnotes")
    related = {kind: f"{kind}.xml" for kind in kinds if f"word/{kind}.xml" in (more or {})}
    parts: dict[str, bytes | str] = {"[Content_Types].xml": CONTENT_TYPES, "word/document.xml": document}
    return zipped({**parts, "word/_rels/document.xml.rels": relations(related), **(more or {})})


def word_part(root: str, inner: str) -> str:
    """Another part of a Word document."""
    return f'<w:{root} xmlns:w="{_W}">{inner}</w:{root}>'


def xlsx(sheets: Mapping[str, str], *, strings: Sequence[str] = (), formats: str = "", before: str = "") -> bytes:
    """A workbook of sheets, by name, each the XML of its rows. `before` stands before the root of each."""
    named = "".join(f'<sheet name="{escape(name)}" r:id="sheet{n}"/>' for n, name in enumerate(sheets))
    related = {f"sheet{n}": f"worksheets/sheet{n}.xml" for n in range(len(sheets))}
    texts = "".join(f"<si><t>{escape(text)}</t></si>" for text in strings)
    return zipped(
        {
            "xl/workbook.xml": f'<workbook xmlns="{_S}" xmlns:r="{_R}"><sheets>{named}</sheets></workbook>',
            "xl/_rels/workbook.xml.rels": relations(
                {**related, "sharedStrings": "sharedStrings.xml", "styles": "styles.xml"}
            ),
            "xl/sharedStrings.xml": f'<sst xmlns="{_S}">{texts}</sst>',
            "xl/styles.xml": f'<styleSheet xmlns="{_S}">{formats}</styleSheet>',
            **{
                f"xl/worksheets/sheet{n}.xml": before
                + f'<worksheet xmlns="{_S}"><sheetData>{rows}</sheetData></worksheet>'
                for n, rows in enumerate(sheets.values())
            },
        }
    )


def slide(shapes: str, *, root: str = "sld") -> str:
    """The XML of a slide, or of its notes."""
    return f'<p:{root} xmlns:p="{_P}" xmlns:a="{_A}"><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:{root}>'


def shape(*paragraphs: str, kind: str = "body") -> str:
    """A placeholder of a slide, with its paragraphs."""
    inner = "".join(f"<a:p><a:r><a:t>{escape(text)}</a:t></a:r></a:p>" for text in paragraphs)
    return f'<p:sp><p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:txBody>{inner}</p:txBody></p:sp>'


def pptx(slides: Sequence[str], *, notes: Mapping[int, str] | None = None) -> bytes:
    """A presentation; `notes` by the number of their slide."""
    listed = "".join(f'<p:sldId id="{256 + n}" r:id="slide{n}"/>' for n in range(len(slides)))
    presentation = f'<p:presentation xmlns:p="{_P}" xmlns:r="{_R}"><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>'
    parts: dict[str, bytes | str] = {
        "ppt/presentation.xml": presentation,
        "ppt/_rels/presentation.xml.rels": relations({f"slide{n}": f"slides/slide{n}.xml" for n in range(len(slides))}),
    }
    for number, text in enumerate(slides):
        parts[f"ppt/slides/slide{number}.xml"] = text
    for number, text in (notes or {}).items():
        parts[f"ppt/slides/_rels/slide{number}.xml.rels"] = relations({"notesSlide": "../notesSlides/n.xml"})
        parts["ppt/notesSlides/n.xml"] = text
    return zipped(parts)


def odt(body: str, *, kind: str = "text", before: str = "") -> bytes:
    """An OpenDocument file of this `kind`. `before` stands before the root."""
    names = "".join(f' xmlns:{name}="{_ODF.format(name)}"' for name in ("office", "text", "table", "drawing"))
    content = (
        f"{before}<office:document-content{names}><office:body><office:{kind}>{body}</office:{kind}>"
        "</office:body></office:document-content>"
    )
    return zipped({"mimetype": f"application/vnd.oasis.opendocument.{kind}", "content.xml": content})


def epub(pages: Mapping[str, str]) -> bytes:
    """A book of pages, in order."""
    items = "".join(f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in pages)
    spine = "".join(f'<itemref idref="{name}"/>' for name in pages)
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OPS/p.opf"/></rootfiles></container>',
            "OPS/p.opf": f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>",
            **{f"OPS/{name}": page for name, page in pages.items()},
        }
    )
