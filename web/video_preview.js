// Tells the page that these nodes show a video: the first Nodes 2.0 takes every node without a VIDEO input for one
// that shows images. Render Video and Dub Video do show images while they work, and the page would keep the last of them.
import { app } from "../../scripts/app.js"

const SHOW_IMAGES_FIRST = ["SadTalkerRenderVideo", "SadTalkerDubVideo"]
// An image that arrived just before the video is decoded after it, and would stay.
const STILL_DECODED_MS = [200, 1000, 4000]

app.registerExtension({
    name: "sadtalkernodes.videoPreview",
    nodeCreated(node) {
        if (node.comfyClass === "SadTalkerVideoCombine") node.previewMediaType = "video"
        if (!SHOW_IMAGES_FIRST.includes(node.comfyClass)) return
        app.api.addEventListener("execution_start", () => { node.previewMediaType = undefined })
        const onExecuted = node.onExecuted
        node.onExecuted = function (output) {
            node.previewMediaType = "video"
            removeImages(node)
            for (const later of STILL_DECODED_MS)
                setTimeout(() => { if (node.previewMediaType === "video") removeImages(node) }, later)
            return onExecuted?.call(this, output)
        }
    },
})

function removeImages(node) {
    for (const widget of (node.widgets ?? []).filter(widget => widget.name === "$$canvas-image-preview"))
        node.removeWidget(widget)
    node.imgs = undefined
    pageStore("nodeOutput")?.revokePreviewsByExecutionId?.(String(node.id))
    for (const key of Object.keys(app.nodePreviewImages ?? {}))
        if (key.split(":").pop() === String(node.id)) delete app.nodePreviewImages[key]
}

// Newer pages keep the images in a store that they do not hand out.
function pageStore(name) {
    return document.querySelector("#vue-app")?.__vue_app__?.config.globalProperties.$pinia?._s.get(name)
}
