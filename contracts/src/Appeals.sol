// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBack} from "./interfaces/IMarketBack.sol";
import {Committee} from "./libraries/Committee.sol";
import {Ballots} from "./Ballots.sol";
import {Rounds} from "./Rounds.sol";
import {Signatures} from "./Signatures.sol";

/// @title Appeals: a bigger committee for a bond (P3.6)
abstract contract Appeals is IMarketBack, Signatures, Rounds, Ballots {
    /// @inheritdoc IMarketBack
    function appeal(JobTerms calldata terms, uint256 place) external {
        bytes32 id = _idOf(terms);
        Job storage job = _jobs[id];
        _requireState(id, job, State.Scored);
        _requireBefore(job.deadline);
        uint8 number = job.round;
        if (number == _LAST_ROUND) revert LastRound(id);
        bool isParty = msg.sender == terms.requester || _laneOf(job, msg.sender) < job.lanes;
        if (!isParty && !_isSeated(job, place, msg.sender)) revert NotParty(msg.sender, id);
        uint96 bond = _appealBond(job, terms, ++number);
        _debit(msg.sender, bond);
        job.appeals[number] = Appeal(msg.sender, bond);
        emit Locked(id, msg.sender, Purpose.AppealBond, bond);
        emit Appealed(id, number, msg.sender, bond);
        _startRound(id, job);
    }

    /// @dev max(2 * size * f, 10 % of V) in round 2, 15 % in round 3 (P3.6).
    function _appealBond(Job storage job, JobTerms calldata terms, uint8 number) private view returns (uint96) {
        uint256 byFees = 2 * Committee.sizeOf(terms.committee, number) * uint256(terms.fee);
        uint256 byValue = _valueOf(job) * (number == 2 ? 10 : 15) / 100;
        // fees are below S/32 and V below 2S, or there would be no job
        return uint96(byFees > byValue ? byFees : byValue);
    }
}
