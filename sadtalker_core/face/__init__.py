"""An image comes in; landmarks, a FaceCrop and FaceCoefficients go out."""
