"""The attributes that a workitem must, may and must not have: at creation, in an update, in a final state.

The tables follow PS3.4 Table CC.2.5-3 (UPS SOP Class N-CREATE, N-SET and final state attributes) and its order
(conformance §7.4). A rule for a sequence contains the rules for each of its items.
"""

from __future__ import annotations

from typing import Final

from app.dicom.worklist.attribute_rules import Need, Rules, rules

_V, _P, _F, _A, _E, _X = Need.VALUE, Need.PRESENT, Need.FILLED, Need.ANY, Need.EMPTY, Need.FORBIDDEN

# --- items --------------------------------------------------------------------------------------------------------

_CODE: Final = rules(_V, "CodeMeaning")
"""Table CC.2.5-2a, UPS Code Sequence Macro."""

_CONTENT: Final = (*rules(_V, "ValueType"), *rules(_V, "ConceptNameCodeSequence", _CODE))
"""Table CC.2.5-2b, UPS Content Item Macro."""

_INPUT: Final = (
    *rules(_V, "TypeOfInstances"),
    *rules(_V, "ReferencedSOPSequence", rules(_V, "ReferencedSOPClassUID ReferencedSOPInstanceUID")),
)
"""Table CC.2.5-2c, Referenced Instances and Access Macro."""

_PERFORMER: Final = (
    *rules(_V, "HumanPerformerCodeSequence", _CODE),
    *rules(_V, "HumanPerformerName HumanPerformerOrganization"),
)

_REQUEST: Final = (
    *rules(_V, "StudyInstanceUID"),
    *rules(_P, "AccessionNumber IssuerOfAccessionNumberSequence"),
    *rules(_P, "OrderPlacerIdentifierSequence OrderFillerIdentifierSequence"),
    *rules(_P, "RequestedProcedureID RequestedProcedureDescription"),
    *rules(_P, "RequestedProcedureCodeSequence", _CODE),
)

_REPLACED: Final = rules(_V, "ReferencedSOPClassUID ReferencedSOPInstanceUID")

_PROGRESS: Final = (
    "ProcedureStepProgress ProcedureStepProgressDescription ProcedureStepProgressParametersSequence "
    "ProcedureStepCommunicationsURISequence ProcedureStepCancellationDateTime ReasonForCancellation "
    "ProcedureStepDiscontinuationReasonCodeSequence"
)
_PERFORMED_STATIONS: Final = (
    "PerformedStationNameCodeSequence PerformedStationClassCodeSequence PerformedStationGeographicLocationCodeSequence"
)
_PERFORMED: Final = (
    f"ActualHumanPerformersSequence {_PERFORMED_STATIONS} PerformedProcedureStepStartDateTime "
    "PerformedProcedureStepDescription CommentsOnThePerformedProcedureStep PerformedWorkitemCodeSequence "
    "PerformedProcessingParametersSequence PerformedProcedureStepEndDateTime OutputInformationSequence"
)

_STATIONS: Final = (
    "ScheduledStationNameCodeSequence ScheduledStationClassCodeSequence ScheduledStationGeographicLocationCodeSequence"
)

# --- optional attributes ------------------------------------------------------------------------------------------

_OPTIONAL: Final = rules(
    _F,
    # SOP Common (PS3.3 C.12.1)
    "SpecificCharacterSet InstanceCreationDate InstanceCreationTime InstanceCoercionDateTime InstanceCreatorUID "
    "RelatedGeneralSOPClassUID OriginalSpecializedSOPClassUID CodingSchemeIdentificationSequence "
    "ContextGroupIdentificationSequence MappingResourceIdentificationSequence TimezoneOffsetFromUTC "
    "ContributingEquipmentSequence InstanceNumber SOPInstanceStatus SOPAuthorizationDateTime SOPAuthorizationComment "
    "AuthorizationEquipmentCertificationNumber EncryptedAttributesSequence OriginalAttributesSequence "
    "HL7StructuredDocumentReferenceSequence LongitudinalTemporalInformationModified QueryRetrieveView "
    "ConversionSourceAttributesSequence ContentQualification PrivateDataElementCharacteristicsSequence "
    "InstanceOriginStatus BarcodeValue "
    # UPS Scheduled Procedure Information (C.30.2)
    "ExpectedCompletionDateTime ScheduledProcedureStepExpirationDateTime OutputDestinationSequence "
    # UPS Relationship (C.30.4), Patient Demographic (C.2.3)
    "ReferencedPatientPhotoSequence TypeOfPatientID PatientBirthDateInAlternativeCalendar "
    "PatientDeathDateInAlternativeCalendar PatientAlternativeCalendar ReasonForVisit ReasonForVisitCodeSequence "
    "PatientAge Occupation ConfidentialityConstraintOnPatientDataDescription PatientBirthTime QualityControlSubject "
    "PatientInsurancePlanCodeSequence PatientPrimaryLanguageCodeSequence PatientSize PatientWeight "
    "PatientSizeCodeSequence PatientAddress MilitaryRank BranchOfService CountryOfResidence RegionOfResidence "
    "PatientTelephoneNumbers PatientTelecomInformation EthnicGroup PatientReligiousPreference PatientComments "
    "ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization PatientSpeciesDescription "
    "PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence BreedRegistrationSequence "
    "StrainDescription StrainNomenclature StrainCodeSequence StrainAdditionalInformation StrainStockSequence "
    "GeneticModificationsSequence "
    # Patient Medical (C.2.4)
    "MedicalAlerts PregnancyStatus SpecialNeeds Allergies SmokingStatus AdditionalPatientHistory LastMenstrualDate "
    "PatientSexNeutered PatientBodyMassIndex MeasuredAPDimension MeasuredLateralDimension PatientState "
    "PertinentDocumentsSequence PertinentResourcesSequence PatientClinicalTrialParticipationSequence "
    # Visit Identification, Status and Admission (C.3.2 to C.3.4)
    "InstitutionName InstitutionAddress InstitutionCodeSequence InstitutionalDepartmentName "
    "InstitutionalDepartmentTypeCodeSequence ServiceEpisodeID IssuerOfServiceEpisodeIDSequence "
    "ServiceEpisodeDescription VisitStatusID CurrentPatientLocation PatientInstitutionResidence VisitComments "
    "ReferringPhysicianName ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers "
    "ReferringPhysicianIdentificationSequence ConsultingPhysicianName ConsultingPhysicianIdentificationSequence "
    "RouteOfAdmissions AdmittingDate AdmittingTime",
)
"""Optional at creation and in updates, but not empty."""

# --- creation (N-CREATE) ------------------------------------------------------------------------------------------

CREATE: Final[Rules] = (
    *rules(_E, "TransactionUID"),
    *rules(_V, "SOPClassUID SOPInstanceUID"),
    # UPS Scheduled Procedure Information
    *rules(_V, "ScheduledProcedureStepPriority ScheduledProcedureStepModificationDateTime"),
    *rules(_V, "ProcedureStepLabel WorklistLabel"),
    *rules(_P, "ScheduledProcessingParametersSequence", _CONTENT),
    *rules(_P, _STATIONS, _CODE),
    *rules(_F, "ScheduledHumanPerformersSequence", _PERFORMER),
    *rules(_V, "ScheduledProcedureStepStartDateTime"),
    *rules(_P, "ScheduledWorkitemCodeSequence", _CODE),
    *rules(_P, "CommentsOnTheScheduledProcedureStep"),
    *rules(_V, "InputReadinessState"),
    *rules(_P, "InputInformationSequence", _INPUT),
    *rules(_F, "StudyInstanceUID"),
    # UPS Relationship
    *rules(_P, "PatientName"),
    *rules(_F, "PatientID"),
    *rules(_P, "IssuerOfPatientID IssuerOfPatientIDQualifiersSequence OtherPatientIDsSequence"),
    *rules(_P, "PatientBirthDate PatientSex AdmissionID IssuerOfAdmissionIDSequence"),
    *rules(_P, "AdmittingDiagnosesDescription"),
    *rules(_P, "AdmittingDiagnosesCodeSequence", _CODE),
    *rules(_P, "ReferencedRequestSequence", _REQUEST),
    *rules(_F, "ReplacedProcedureStepSequence", _REPLACED),
    *_OPTIONAL,
    # UPS Progress Information, UPS Performed Procedure Information: absent, because the step has not begun
    *rules(_V, "ProcedureStepState"),
    *rules(_A, "ProcedureStepProgressInformationSequence", rules(_X, _PROGRESS)),
    *rules(_A, "UnifiedProcedureStepPerformedProcedureSequence", rules(_X, _PERFORMED)),
)

# --- updates (N-SET) ----------------------------------------------------------------------------------------------

UPDATE: Final[Rules] = (
    *rules(_X, "TransactionUID SOPClassUID SOPInstanceUID"),
    # UPS Scheduled Procedure Information
    *rules(_F, "ScheduledProcedureStepPriority ScheduledProcedureStepModificationDateTime"),
    *rules(_F, "ProcedureStepLabel WorklistLabel"),
    *rules(_F, "ScheduledProcessingParametersSequence", _CONTENT),
    *rules(_F, _STATIONS, _CODE),
    *rules(_F, "ScheduledHumanPerformersSequence", _PERFORMER),
    *rules(_F, "ScheduledProcedureStepStartDateTime"),
    *rules(_F, "ScheduledWorkitemCodeSequence", _CODE),
    *rules(_F, "CommentsOnTheScheduledProcedureStep InputReadinessState"),
    *rules(_F, "InputInformationSequence", _INPUT),
    *rules(_F, "StudyInstanceUID"),
    # UPS Relationship
    *rules(_X, "PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence"),
    *rules(_F, "OtherPatientIDsSequence"),
    *rules(_X, "PatientBirthDate PatientSex AdmissionID IssuerOfAdmissionIDSequence"),
    *rules(_X, "AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence"),
    *rules(_X, "ReferencedRequestSequence ReplacedProcedureStepSequence"),
    *_OPTIONAL,
    # UPS Progress Information, UPS Performed Procedure Information
    *rules(_X, "ProcedureStepState"),
    *rules(
        _F,
        "ProcedureStepProgressInformationSequence",
        (
            *rules(_A, "ProcedureStepProgressParametersSequence", _CONTENT),
            *rules(_A, "ProcedureStepCommunicationsURISequence", rules(_V, "ContactURI")),
            *rules(_A, "ProcedureStepDiscontinuationReasonCodeSequence", _CODE),
        ),
    ),
    *rules(
        _F,
        "UnifiedProcedureStepPerformedProcedureSequence",
        (
            *rules(_A, _PERFORMED_STATIONS, _CODE),
            *rules(_A, "PerformedWorkitemCodeSequence", _CODE),
            *rules(_A, "PerformedProcessingParametersSequence", _CONTENT),
            *rules(_P, "OutputInformationSequence", _INPUT),
        ),
    ),
)

# --- final states (PS3.4 CC.2.5.1.1) ------------------------------------------------------------------------------

_FINAL: Final = rules(
    _V,
    "SOPClassUID SOPInstanceUID ScheduledProcedureStepPriority ScheduledProcedureStepModificationDateTime "
    "ScheduledProcedureStepStartDateTime InputReadinessState ProcedureStepState",
)
"""Code R: required in both final states."""

COMPLETED: Final[Rules] = (
    *_FINAL,
    *rules(
        _V,
        "UnifiedProcedureStepPerformedProcedureSequence",
        (
            *rules(_V, "PerformedStationNameCodeSequence PerformedProcedureStepStartDateTime"),
            *rules(_V, "PerformedWorkitemCodeSequence PerformedProcedureStepEndDateTime"),
            *rules(_P, "OutputInformationSequence"),  # a step may produce nothing
        ),
    ),
)
"""Code P: required if the step was completed."""

CANCELED: Final[Rules] = (
    *_FINAL,
    *rules(
        _V,
        "ProcedureStepProgressInformationSequence",
        rules(_V, "ProcedureStepCancellationDateTime ProcedureStepDiscontinuationReasonCodeSequence"),
    ),
)
"""Code X: required if the step was canceled."""

# --- state changes (N-ACTION, PS3.4 Table CC.2.1-1) ---------------------------------------------------------------

STATE_CHANGE: Final[Rules] = rules(_V, "TransactionUID ProcedureStepState")
